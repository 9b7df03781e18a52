use std::fmt;
use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be used. The message names the file, the reason and the ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointError {
    kind: CheckpointErrorKind,
    path: PathBuf,
    why: String,
}

/// The sort of a [`CheckpointError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointErrorKind {
    /// The file could not be read.
    Read,
    /// The file could not be written or removed.
    Write,
    /// A run that starts anew found one.
    Unfinished,
    /// It is no checkpoint.
    NotCheckpoint,
    /// Shorter or longer than it says.
    Truncated,
    /// An unknown format.
    Version,
    /// A byte was changed.
    Altered,
    /// Another recipe, seed, head, prior or other data.
    Foreign,
}

impl CheckpointError {
    pub(super) fn new(
        kind: CheckpointErrorKind,
        path: &Path,
        why: impl fmt::Display,
    ) -> CheckpointError {
        CheckpointError { kind, path: path.to_path_buf(), why: why.to_string() }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> CheckpointErrorKind {
        self.kind
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for CheckpointError {}
