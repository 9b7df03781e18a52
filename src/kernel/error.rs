//! Why a plan was refused.

use std::fmt;

/// The kinds of [`KernelError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelErrorKind {
    /// Sizes that do not fit together, or an empty map.
    Shape,
    /// A scale that is not a positive, finite number of usable size, or an empty output range.
    Scale,
    /// Sums that could leave 32 bits.
    Overflow,
    /// A kernel that this machine cannot run, or a name that is not a kernel's.
    Unavailable,
}

/// A plan that cannot be made. The caller knows which node of the graph it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    kind: KernelErrorKind,
    message: String,
}

impl KernelError {
    pub(super) fn new(kind: KernelErrorKind, message: impl Into<String>) -> KernelError {
        KernelError { kind, message: message.into() }
    }

    pub(super) fn shape(message: impl Into<String>) -> KernelError {
        KernelError::new(KernelErrorKind::Shape, message)
    }

    /// What went wrong, for a program.
    pub fn kind(&self) -> KernelErrorKind {
        self.kind
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for KernelError {}
