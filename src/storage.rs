//! Changing a disk so that a power cut at any instant leaves the old file or the new one.
//!
//! A device's card fills up, wears out, turns read-only, is pulled out, and loses power in the middle of a write. Two
//! rules answer all of it:
//!
//! - **A name never stands for half a file.** Bytes go to a temporary file beside their place, are flushed to the disk
//!   (`fsync`), and only then get their name by a rename. Flushing the folder makes the name last.
//! - **What is flushed is what may be relied on.** No order is assumed between two changes of the disk that no flush
//!   stands between: ext4 keeps more order than that, f2fs less, vfat none.
//!
//! Every change goes through a [`Disk`], so that tests can record them, replay what any crash would leave, and let them
//! fail; docs/storage.md has the file systems and what survives what.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod archive;
#[cfg(test)]
pub(crate) mod crash;
mod directory;
mod disk;
mod numbered;
mod system;

pub(crate) use archive::{packed, tar_trouble};
pub use directory::{recover_dir, replace_dir};
pub use disk::{Answer, Disk, DiskFile, Op};
pub(crate) use disk::{is_temporary_name, temporary_name};
pub(crate) use numbered::{MAX_NUMBER, file_name, folder_name, parse_file_name, parse_folder_name};
pub use system::is_mount;
pub(crate) use system::{Identity, Lock, require_mount};

/// Replaces a file, or makes it, so that its name stands for the old bytes or for the new ones at any instant. When
/// this returns, the new ones survive a power cut.
///
/// The bytes are written to `.NAME.tmp` beside it first; one that a crash left is written over. Two programs must not
/// replace the same file at once. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
///
/// What the system refused. The old file is still there, or (if only the folder could not be flushed) the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    Disk::default().replace(path, bytes).map_err(|e| StorageError::of(path, &e))
}

/// Room that a file system has for ordinary users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub bytes: u64,
    /// New files that it has room for; `None` where it does not count them (vfat, btrfs).
    pub inodes: Option<u64>,
}

/// Asks the file system that `path` lies on how much room it has; `path` must exist.
///
/// # Errors
///
/// What the system refused.
pub fn free(path: &Path) -> Result<Free, StorageError> {
    Disk::default().free(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            let why = "the folder is not there; it is made when something is written to it";
            StorageError::new(StorageErrorKind::Missing, path, why)
        }
        _ => StorageError::of(path, &e),
    })
}

/// What a store takes of the disk, for status and metrics; readable from any thread.
#[derive(Debug, Default)]
pub struct Usage {
    bytes: AtomicU64,
    items: AtomicU64,
    deleted: AtomicU64,
    dropped: AtomicU64,
}

impl Usage {
    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Segments of a journal, events of an evidence store.
    pub fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    /// Items that were deleted to make room, since the start of the program.
    pub fn deleted(&self) -> u64 {
        self.deleted.load(Relaxed)
    }

    /// What was given to the store and is not in it: score lines, frames; since the start of the program.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(crate) fn set(&self, bytes: u64, items: u64) {
        self.bytes.store(bytes, Relaxed);
        self.items.store(items, Relaxed);
    }

    pub(crate) fn add_deleted(&self, count: u64) {
        self.deleted.fetch_add(count, Relaxed);
    }

    pub(crate) fn add_dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Relaxed);
    }
}

/// Why a store could not be read or changed. All of these may pass: a person can free the disk, mount it, give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    kind: StorageErrorKind,
    message: String,
}

/// The kinds of [`StorageError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// The disk is full, or below the floor that must stay free.
    Full,
    /// The file system is mounted read-only, as Linux does when it finds it damaged.
    ReadOnly,
    /// The user that runs the program may not write there.
    Denied,
    /// The disk that must be mounted is not.
    NotMounted,
    /// There is something else than a folder at the path.
    NotAFolder,
    /// There is nothing at the path.
    Missing,
    /// Another program writes there.
    Busy,
    /// Reading or writing failed: a bad card, a disk that was pulled out.
    Io,
}

impl StorageError {
    pub(crate) fn new(kind: StorageErrorKind, path: &Path, why: impl fmt::Display) -> StorageError {
        StorageError { kind, message: format!("{}: {why}", path.display()) }
    }

    /// Tells the errors of the system apart, and says what to do.
    pub(crate) fn of(path: &Path, e: &io::Error) -> StorageError {
        use StorageErrorKind::*;
        let (kind, remedy) = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Full, "free some room, or lower the quota")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                (ReadOnly, "check the disk (fsck) and mount it for writing")
            }
            io::ErrorKind::PermissionDenied => {
                (Denied, "give the folder to the user that runs this program")
            }
            io::ErrorKind::NotADirectory => (NotAFolder, "choose another folder"),
            io::ErrorKind::NotFound => (Missing, "make the folder, or mount its disk"),
            _ => (Io, "check the disk"),
        };
        match e.get_ref() {
            // An error of this program's own says what to do.
            Some(own) => StorageError::new(kind, path, own),
            None => StorageError::new(kind, path, format_args!("{e}; {remedy}")),
        }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
