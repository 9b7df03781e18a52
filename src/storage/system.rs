//! What only the operating system can answer.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::{Free, StorageError, StorageErrorKind};

/// Flushes a folder's names.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        // Elsewhere a folder cannot be opened as a file.
        return Ok(());
    }
    match File::open(path)?.sync_all() {
        // Some FUSE file systems have no such thing.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        done => done,
    }
}

/// Exchanges two names; [`io::ErrorKind::Unsupported`] where the kernel or the file system cannot.
#[cfg(target_os = "linux")]
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(|e| match e {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => io::ErrorKind::Unsupported.into(),
        e => e.into(),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
pub(super) fn free(path: &Path) -> io::Result<Free> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Free {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: (found.f_files > 0).then_some(found.f_favail),
    })
}

/// Elsewhere nobody asks: room is taken as endless.
#[cfg(not(target_os = "linux"))]
pub(super) fn free(path: &Path) -> io::Result<Free> {
    fs::metadata(path).map(|_| Free { bytes: u64::MAX, inodes: None })
}

/// Whether a file system is mounted at `path`. Nothing there, or an error, is no mount.
pub fn is_mount(path: &Path) -> bool {
    // The kernel's own answer knows bind mounts too; kernels before 5.8 have none.
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        let asked = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
        if let Ok(found) = asked
            && found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        {
            return found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        }
    }
    differs_from_parent(path)
}

/// Nothing may be written unless a file system is mounted at `mount`, which the configuration's `key` names.
pub(crate) fn require_mount(mount: Option<&Path>, key: &str) -> Result<(), StorageError> {
    let Some(mount) = mount.filter(|mount| !is_mount(mount)) else { return Ok(()) };
    let why = format!("no file system is mounted here ({key}); mount it");
    Err(StorageError::new(StorageErrorKind::NotMounted, mount, why))
}

/// Another file system than the folder above, or the root.
pub(super) fn differs_from_parent(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let Some(above) = path.parent() else { return true };
    match (Identity::of(&path), Identity::of(above)) {
        (Ok(here), Ok(above)) => here.device != above.device,
        _ => false,
    }
}

/// Tells a folder from another that takes its place: a disk that was swapped, a folder that was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> io::Result<Identity> {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).map(|found| Identity { device: found.dev(), inode: found.ino() })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|_| Identity { device: 0, inode: 0 })
    }
}

/// Whether an open file still has a name.
#[cfg(unix)]
pub(super) fn is_named(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|found| found.nlink() > 0)
}

#[cfg(not(unix))]
pub(super) fn is_named(_: &File) -> bool {
    true
}

/// One program writes to a folder. The kernel lets go of the lock when the program ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _folder: Option<File>,
}

impl Lock {
    /// Where the file system has no locks, goes on without one.
    pub(crate) fn take(dir: &Path) -> Result<Lock, StorageError> {
        if cfg!(not(unix)) {
            return Ok(Lock { _folder: None });
        }
        let folder = File::open(dir).map_err(|e| StorageError::of(dir, &e))?;
        match folder.try_lock() {
            Ok(()) => Ok(Lock { _folder: Some(folder) }),
            Err(TryLockError::Error(_)) => Ok(Lock { _folder: None }),
            Err(TryLockError::WouldBlock) => Err(StorageError::new(
                StorageErrorKind::Busy,
                dir,
                "another program writes to this folder; stop it, or give each its own (journal and evidence too)",
            )),
        }
    }
}
