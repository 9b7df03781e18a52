//! What is made from a head when it is first needed.

use std::fmt;
use std::sync::OnceLock;

/// A thing that is made once, shared by nothing, and no part of the value that holds it.
#[derive(Clone)]
pub(super) struct Ready<T>(OnceLock<T>);

impl<T> Ready<T> {
    /// Made already.
    pub fn of(made: T) -> Ready<T> {
        Ready(OnceLock::from(made))
    }

    /// Makes it unless it is there.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> Default for Ready<T> {
    fn default() -> Ready<T> {
        Ready(OnceLock::new())
    }
}

impl<T> PartialEq for Ready<T> {
    fn eq(&self, _: &Ready<T>) -> bool {
        true
    }
}

impl<T> fmt::Debug for Ready<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}
