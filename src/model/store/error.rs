//! Why a model was not installed, or a store could not be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::CANDIDATE;

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

    /// What was found wrong with the copy of a model that was to be installed, said of the model itself: the copy is gone.
    pub fn of_source(self, source: &Path) -> StoreError {
        let is_copy = |path: &&Path| path.file_name().is_some_and(|name| name == CANDIDATE);
        let Some(copy) = self.path.ancestors().find(is_copy) else { return self };
        // Of a file that could not be written the copy is at fault.
        if self.kind == StoreErrorKind::Io {
            return self;
        }
        let below = self.path.strip_prefix(copy).unwrap_or(Path::new(""));
        let path = source.components().chain(below.components()).collect();
        let [copy, source] = [copy, source].map(|path| path.display().to_string());
        StoreError { kind: self.kind, path, why: self.why.replace(&copy, &source) }
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
