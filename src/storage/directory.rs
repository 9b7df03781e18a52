//! A folder in place of another, in one step.
//!
//! Linux can exchange two names (`renameat2` with `RENAME_EXCHANGE`) on ext4, f2fs, xfs, btrfs, tmpfs, and from 6.0 on
//! vfat. That is what this does: the name is never without a folder, it stays a plain folder that a person can look at,
//! copy and replace by hand, and the old folder is kept without a further step. A symbolic link that is flipped does as
//! much for a store of models, whose links are links from the start; but a path of the user's that is now a folder and now
//! a link is a trap for every script, and vfat has no links.
//!
//! Where names cannot be exchanged, two renames do it, with a moment between them in which the name is missing and the
//! old folder is called `.NAME.old`. [`recover_dir`] puts it back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, StorageError, parent};

/// Puts the folder `new` in the place of `at`; the old folder, if there was one, then lies at `new`. Everything in
/// `new` is flushed before and the names after, so a power cut leaves one or the other, complete. Both must be on one
/// file system.
///
/// A program that was killed in the middle calls [`recover_dir`] when it starts, before it looks at `at`.
///
/// # Errors
///
/// What the system refused; `at` is then what it was, or (if only a flush failed at the end) the new folder.
pub fn replace_dir(new: &Path, at: &Path) -> Result<(), StorageError> {
    Disk::default().replace_dir(new, at).map_err(|e| StorageError::of(at, &e))
}

/// Finishes or undoes a [`replace_dir`] of the same folders that was interrupted. Without one it does nothing.
///
/// # Errors
///
/// What the system refused.
pub fn recover_dir(new: &Path, at: &Path) -> Result<(), StorageError> {
    Disk::default().recover_dir(new, at).map_err(|e| StorageError::of(at, &e))
}

impl Disk {
    /// As [`replace_dir`].
    pub fn replace_dir(&self, new: &Path, at: &Path) -> io::Result<()> {
        self.recover_dir(new, at)?;
        if !fs::symlink_metadata(new)?.is_dir() {
            let why = format!("{} is no folder, so it cannot take one's place", new.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
        }
        self.sync_tree(new)?;
        if !exists(at)? {
            self.rename(new, at)?;
            return self.sync_both(new, at);
        }
        match self.exchange(new, at) {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            done => return done.and_then(|()| self.sync_both(new, at)),
        }
        let aside = aside(at);
        self.rename(at, &aside)?;
        // Flushed between the steps: no disk may keep the second and lose the first.
        let placed = self.sync_dir(&parent(at)).and_then(|()| self.rename(new, at));
        if placed.is_err() {
            self.rename(&aside, at)?;
            return placed;
        }
        self.sync_both(new, at)?;
        self.rename(&aside, new)?;
        self.sync_both(new, at)
    }

    /// As [`recover_dir`].
    pub fn recover_dir(&self, new: &Path, at: &Path) -> io::Result<()> {
        let aside = aside(at);
        if !exists(&aside)? {
            return Ok(());
        }
        let to = match (exists(at)?, exists(new)?) {
            (false, _) => at,
            (true, false) => new,
            (true, true) => {
                let why = format!("{} is in the way; move it elsewhere", aside.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
        };
        self.rename(&aside, to)?;
        self.sync_both(new, at)
    }

    /// Flushes each file and folder below a folder, and the folder itself. Links are left as they are.
    fn sync_tree(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.sync_tree(&entry.path())?;
            } else if kind.is_file() {
                self.sync_file(&entry.path())?;
            }
        }
        self.sync_dir(dir)
    }

    fn sync_both(&self, new: &Path, at: &Path) -> io::Result<()> {
        let (from, to) = (parent(new), parent(at));
        self.sync_dir(&to)?;
        if from == to { Ok(()) } else { self.sync_dir(&from) }
    }
}

/// Where the old folder waits while names cannot be exchanged.
fn aside(at: &Path) -> PathBuf {
    let name = at.file_name().unwrap_or_default().to_string_lossy();
    parent(at).join(format!(".{name}.old"))
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
