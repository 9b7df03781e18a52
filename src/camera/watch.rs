//! A folder as a camera: the pictures that are in it, then those that come.

mod folders;

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::deadline::Deadline;
use super::stored::{self, is_picture};
use super::{CameraError, CameraErrorKind, Content, Frame, FrameSource, Next, mjpeg};
use folders::{Change, Folders};

/// While more pictures than this wait to be read, no news are taken from the kernel. Its own queue is bounded too, and
/// says so when it is full.
const MOST_WAITING: usize = 100_000;

/// Reads of news before the next picture: more than the kernel's queue holds, but not for ever.
const MOST_READS: usize = 400;

/// How far a folder was played: of the pictures that it gave, the last one in the order of names. It outlives the camera, so that a
/// folder that was lost is not played again from its start.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<Mutex<Option<PathBuf>>>);

impl Place {
    fn last(&self) -> Option<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reach(&self, path: &Path) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref().is_none_or(|last| last < path) {
            *last = Some(path.to_path_buf());
        }
    }
}

/// The pictures of a folder and its subfolders in the order of their names, then those that come into them. A picture
/// comes when its writer closes it, or when it is moved in; one that is written again comes again.
pub(super) struct WatchedFolder {
    root: PathBuf,
    folders: Folders,
    waiting: Waiting,
    place: Place,
    seq: u64,
}

impl WatchedFolder {
    /// Watches `root`, and lists what comes after `place`.
    ///
    /// # Errors
    ///
    /// There is no such folder, or the kernel allows no more watching.
    pub(super) fn open(root: &Path, place: Place) -> Result<WatchedFolder, CameraError> {
        let mut folder = WatchedFolder {
            root: root.to_path_buf(),
            folders: Folders::new(root)?,
            waiting: Waiting::default(),
            place,
            seq: 0,
        };
        folder.list_again()?;
        // What was closed while the folder was listed is in the list and in the news: taking them now, before any of it
        // was given, makes it one.
        folder.take_news()?;
        Ok(folder)
    }

    /// Lines up the pictures that come after the place that was reached.
    fn list_again(&mut self) -> Result<(), CameraError> {
        let last = self.place.last();
        let mut found = self.list(&self.root.clone())?;
        found.retain(|path| last.as_ref().is_none_or(|last| last < path));
        found.into_iter().for_each(|path| self.waiting.push(path));
        Ok(())
    }

    /// Watches a folder with its subfolders, and lists their pictures in order.
    fn list(&mut self, folder: &Path) -> Result<Vec<PathBuf>, CameraError> {
        let mut found = Vec::new();
        let mut rest = vec![folder.to_path_buf()];
        while let Some(folder) = rest.pop() {
            let listed = self.folders.watch(&folder).and_then(|()| stored::list_one(&folder));
            match listed {
                Ok((folders, pictures)) => {
                    rest.extend(folders);
                    found.extend(pictures);
                }
                Err(e) if folder == self.root => return Err(e),
                // A subfolder may go away at any time.
                Err(e) if e.kind() == CameraErrorKind::Missing => {}
                // The `lost+found` of a disk is nobody's but root's.
                Err(e) if e.kind() == CameraErrorKind::Refused => log::warn!("left out: {e}"),
                Err(e) => return Err(e),
            }
        }
        found.sort();
        Ok(found)
    }

    /// Lines up what has come, without waiting for anything.
    fn take_news(&mut self) -> Result<(), CameraError> {
        for _ in 0..MOST_READS {
            if self.waiting.paths.len() >= MOST_WAITING {
                break;
            }
            let Some(changes) = self.folders.changes()? else { break };
            for change in changes {
                match change {
                    Change::Picture(path) => self.waiting.push(path),
                    Change::Folder(path) => {
                        let found = self.list(&path)?;
                        found.into_iter().for_each(|path| self.waiting.push(path));
                    }
                    Change::Missed => {
                        log::warn!(
                            "{}: too much came at once; listing it again",
                            self.root.display()
                        );
                        self.folders = Folders::new(&self.root)?;
                        self.list_again()?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// A picture's bytes; `None` if it has gone, or nothing is in it yet.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CameraError> {
        let failed = |kind, why: &dyn std::fmt::Display| {
            CameraError::new(kind, format!("{}: {why}", path.display()))
        };
        // A pipe by the name of a picture would block whoever opens it.
        match fs::metadata(path) {
            Ok(about) if about.is_file() => {}
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(CameraErrorKind::Picture, &e)),
        }
        match stored::read_picture(path) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) if ends_early(&bytes) => {
                let why = "the file ends early; if it is still being written it comes again when it is closed";
                Err(failed(CameraErrorKind::Cut, &why))
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(CameraErrorKind::Picture, &e)),
        }
    }
}

impl FrameSource for WatchedFolder {
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        let deadline = Deadline::after(wait);
        loop {
            self.take_news()?;
            if let Some(path) = self.waiting.pop() {
                self.place.reach(&path);
                if let Some(bytes) = self.read(&path)? {
                    let seq = self.seq;
                    self.seq += 1;
                    let name = stored::name_in(&self.root, &path);
                    return Ok(Next::Frame(Frame { seq, name, content: Content::File(bytes) }));
                }
                if deadline.is_over() {
                    return Ok(Next::Late);
                }
            } else if !self.folders.wait(deadline)? {
                return Ok(Next::Late);
            }
        }
    }
}

/// Pictures to be read, each once.
#[derive(Default)]
struct Waiting {
    paths: VecDeque<PathBuf>,
    known: HashSet<PathBuf>,
}

impl Waiting {
    fn push(&mut self, path: PathBuf) {
        if self.known.insert(path.clone()) {
            self.paths.push_back(path);
        }
    }

    fn pop(&mut self) -> Option<PathBuf> {
        let path = self.paths.pop_front()?;
        self.known.remove(&path);
        Some(path)
    }
}

/// Whether a JPEG or PNG file has no end. Other damage is for the decoder to find.
fn ends_early(file: &[u8]) -> bool {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const PNG_END: &[u8] = b"IEND\xae\x42\x60\x82";
    if file.starts_with(PNG) {
        return !file.windows(PNG_END.len()).rev().any(|end| end == PNG_END);
    }
    PNG.starts_with(file) || mjpeg::is_unfinished(file)
}

#[cfg(test)]
mod tests;
