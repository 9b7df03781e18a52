//! Why a model was not installed, or a store could not be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model was not installed, or a store could not be used. The message names the file and the remedy.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    path: PathBuf,
    why: String,
}

/// The kinds of [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No model is installed, or none before the current one.
    Empty,
    /// The folder is a model directory.
    NotAStore,
    /// Another program installs a model.
    Busy,
    /// A link leads nowhere.
    Link,
    /// A file could not be read or written.
    Io,
    /// The source is no model: a file is missing, too large, or of a strange type.
    Source,
    /// The manifest cannot be read, or a file is not the one that it names.
    Manifest,
    /// There is no signature, or not that of the configured key.
    Signature,
    /// The version would go back.
    Older,
    /// The model does not open or does not pass its self-test.
    Model,
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind, path: &Path, why: impl fmt::Display) -> StoreError {
        StoreError { kind, path: path.to_path_buf(), why: why.to_string() }
    }

    pub(super) fn io(path: &Path, e: io::Error) -> StoreError {
        StoreError::new(StoreErrorKind::Io, path, e)
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // A model's own errors name the file.
            StoreErrorKind::Model => f.write_str(&self.why),
            _ => write!(f, "{}: {}", self.path.display(), self.why),
        }
    }
}

impl std::error::Error for StoreError {}
