//! The kernel's news of a folder and its subfolders.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::is_picture;
use crate::camera::deadline::Deadline;
use crate::camera::{CameraError, CameraErrorKind};

/// Bytes of news that are taken from the kernel at once; one event has at most 272.
const READ_BYTES: usize = 16 << 10;

/// Something new.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A picture was closed by who wrote it, or moved in.
    Picture(PathBuf),
    /// A folder was made or moved in; it is not watched yet.
    Folder(PathBuf),
    /// More happened than the kernel could remember.
    Missed,
}

/// Whether a new name leads to a file that was there before: nobody will close it. A file that is being written has one
/// name.
fn is_link(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_ok_and(|found| found.is_symlink() || (found.is_file() && found.nlink() > 1))
}

/// The folders that are watched.
pub(super) struct Folders {
    inotify: OwnedFd,
    root: PathBuf,
    /// By the kernel's numbers, which it does not use twice.
    paths: HashMap<i32, PathBuf>,
}

struct Event {
    watch: i32,
    flags: ReadFlags,
    name: PathBuf,
}

impl Folders {
    /// Nothing is watched yet.
    pub(super) fn new(root: &Path) -> Result<Folders, CameraError> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|e| {
            let remedy = match e {
                Errno::MFILE => "; raise the sysctl fs.inotify.max_user_instances",
                _ => "",
            };
            let why = format!("{}: it cannot be watched: {e}{remedy}", root.display());
            CameraError::new(CameraErrorKind::Read, why)
        })?;
        Ok(Folders { inotify, root: root.to_path_buf(), paths: HashMap::new() })
    }

    /// Watches one folder, without its subfolders.
    pub(super) fn watch(&mut self, folder: &Path) -> Result<(), CameraError> {
        let mut flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        if folder != self.root {
            // It could have become a link, and lead anywhere.
            flags |= WatchFlags::DONT_FOLLOW;
        }
        let watch = inotify::add_watch(&self.inotify, folder, flags).map_err(|e| {
            let (kind, remedy) = match e {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => (CameraErrorKind::Missing, ""),
                Errno::ACCESS => (CameraErrorKind::Refused, ""),
                Errno::NOSPC => {
                    (CameraErrorKind::Read, "; raise the sysctl fs.inotify.max_user_watches")
                }
                _ => (CameraErrorKind::Read, ""),
            };
            let e = io::Error::from(e);
            CameraError::new(
                kind,
                format!("{}: it cannot be watched: {e}{remedy}", folder.display()),
            )
        })?;
        self.paths.insert(watch, folder.to_path_buf());
        Ok(())
    }

    /// Waits for news until the deadline.
    pub(super) fn wait(&self, deadline: Deadline) -> Result<bool, CameraError> {
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        deadline.poll(&mut fds).map_err(|e| self.failed(&e))
    }

    /// Some of the news; `None` when there are no more.
    ///
    /// # Errors
    ///
    /// [`CameraErrorKind::Lost`] when the folder itself is gone.
    pub(super) fn changes(&mut self) -> Result<Option<Vec<Change>>, CameraError> {
        let events = self.events()?;
        if events.is_empty() {
            return Ok(None);
        }
        let mut changes = Vec::new();
        for event in events {
            changes.extend(self.change(event)?);
        }
        Ok(Some(changes))
    }

    /// What one read gives.
    fn events(&self) -> Result<Vec<Event>, CameraError> {
        let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                    events.push(Event {
                        watch: event.wd(),
                        flags: event.events(),
                        name: OsStr::from_bytes(name).into(),
                    });
                }
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.failed(&e.into())),
            }
            if reader.is_buffer_empty() {
                return Ok(events);
            }
        }
    }

    fn change(&mut self, event: Event) -> Result<Option<Change>, CameraError> {
        let Event { watch, flags, name } = event;
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Ok(Some(Change::Missed));
        }
        let Some(folder) = self.paths.get(&watch) else { return Ok(None) };
        let gone = ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
        if flags.intersects(gone | ReadFlags::MOVE_SELF) {
            if *folder == self.root {
                let why = format!("{}: the folder is gone", self.root.display());
                return Err(CameraError::new(CameraErrorKind::Lost, why));
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.paths.remove(&watch);
            }
            return Ok(None);
        }
        let path = folder.join(name);
        if flags.contains(ReadFlags::ISDIR) {
            if flags.contains(ReadFlags::MOVED_FROM) {
                self.forget(&path);
            }
            let new = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            return Ok(new.then_some(Change::Folder(path)));
        }
        let whole = flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO)
            || (flags.contains(ReadFlags::CREATE) && is_link(&path));
        Ok((whole && is_picture(&path)).then_some(Change::Picture(path)))
    }

    /// Stops watching a folder that was moved away, and what is in it: its path is no longer true.
    fn forget(&mut self, moved: &Path) {
        let inotify = &self.inotify;
        self.paths.retain(|watch, path| {
            let stays = !path.starts_with(moved);
            if !stays {
                // It fails only if the kernel has dropped the watch already.
                let _ = inotify::remove_watch(inotify, *watch);
            }
            stays
        });
    }

    fn failed(&self, e: &io::Error) -> CameraError {
        let why = format!("{}: watching failed: {e}", self.root.display());
        CameraError::new(CameraErrorKind::Read, why)
    }
}
