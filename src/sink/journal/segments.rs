//! The files of a journal, and the end that lines are added to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{Body, Note, Record};
use crate::clock::{Stamp, boot_id};
use crate::storage::{
    Disk, DiskFile, Identity, Lock, MAX_NUMBER, StorageError, StorageErrorKind, Usage, file_name,
    parse_file_name,
};

/// Ending of a segment's name.
pub(super) const ENDING: &str = "jsonl";

/// A full disk takes the oldest segments, but leaves so many.
const LEFT_WHEN_FULL: usize = 4;

/// Bytes that are handed to the system at once.
const BATCH: usize = 128 << 10;

/// How large a journal gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub segment_bytes: u64,
    pub most_bytes: u64,
}

/// A folder of segments that is written to.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    limits: Limits,
    disk: Disk,
    usage: Arc<Usage>,
    identity: Identity,
    _lock: Lock,
    /// Bytes of each segment.
    sizes: BTreeMap<u64, u64>,
    /// The largest number that anything in the folder has, ours or not.
    last_number: u64,
    current: Option<Current>,
    /// What the next line that is written will be preceded by.
    note: String,
    /// Why the newest segment is not taken up.
    left: Option<StorageError>,
}

/// The segment that lines are added to.
#[derive(Debug)]
struct Current {
    number: u64,
    file: DiskFile,
    /// Where the next line goes: all before are whole.
    len: u64,
    /// Bytes may lie behind `len`, left by a write that failed.
    unclean: bool,
    /// The folder was not flushed since the file got its name.
    name_unflushed: bool,
    /// Lines in it may be relied on.
    flushed: bool,
}

impl Segments {
    /// Opens a journal's folder, which is made if need be. The newest segment is taken up where it ends, unless the next
    /// lines are to `begin_anew`.
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        begin_anew: bool,
        disk: &Disk,
        usage: &Arc<Usage>,
    ) -> Result<Segments, StorageError> {
        let failed = |e: io::Error| StorageError::of(dir, &e);
        disk.make_dirs(dir).map_err(failed)?;
        disk.sync_above(dir);
        let lock = Lock::take(dir)?;
        let identity = Identity::of(dir).map_err(failed)?;
        let (sizes, last_number) = list(dir).map_err(failed)?;
        let mut segments = Segments {
            dir: dir.to_path_buf(),
            limits,
            disk: disk.clone(),
            usage: usage.clone(),
            identity,
            _lock: lock,
            sizes,
            last_number,
            current: None,
            note: format!("oddsight {} starts", env!("CARGO_PKG_VERSION")),
            left: None,
        };
        if begin_anew {
            segments.note = "the segment before could not be flushed".into();
        } else if let Err(e) = segments.go_on() {
            // A new segment is begun; a torn line costs a reader no more than itself.
            segments.left = Some(failed(e));
            segments.current = None;
        }
        segments.make_room(0).map_err(failed)?;
        segments.report();
        Ok(segments)
    }

    /// Takes up the newest segment where a predecessor stopped, if it has room and may be written to, and closes the
    /// torn line that a power cut may have left.
    fn go_on(&mut self) -> io::Result<()> {
        let Some((&number, &len)) = self.sizes.last_key_value() else { return Ok(()) };
        if number != self.last_number || len >= self.limits.segment_bytes {
            return Ok(());
        }
        let file = self.disk.open(&self.path(number))?;
        let mut current =
            Current { number, file, len, unclean: false, name_unflushed: true, flushed: true };
        if current.file.byte_before(len)?.is_some_and(|last| last != b'\n') {
            // Closed and not cut off: what is there may be a whole line that lacks no more than this.
            current.write(b"\n")?;
            self.sizes.insert(number, current.len);
            self.note += "; the line before had no end";
        }
        self.current = Some(current);
        Ok(())
    }

    /// What kept the newest segment from being taken up when the folder was opened.
    pub(super) fn left(&self) -> Option<&StorageError> {
        self.left.as_ref()
    }

    /// Whether the folder is still the one that was opened, and the segment in it: disks are swapped, and people tidy up.
    pub(super) fn is_here(&self) -> bool {
        Identity::of(&self.dir).is_ok_and(|now| now == self.identity)
            && self.current.as_ref().is_none_or(|current| current.file.is_named())
    }

    /// What the journal says of itself before its next line.
    fn say(&mut self, what: &str) {
        if !self.note.is_empty() {
            self.note += "; ";
        }
        self.note += what;
    }

    /// Adds lines; returns how many of them were written, which are the first ones, each whole. How many were `lost` before
    /// them is noted, and then 0.
    pub(super) fn append(
        &mut self,
        at: Stamp,
        lost: &mut u64,
        bodies: &[Body],
    ) -> (usize, io::Result<()>) {
        let mut done = 0;
        while let Some(next) = bodies.get(done) {
            let wrote =
                self.current_for(next).and_then(|()| self.write(at, *lost, &bodies[done..]));
            match wrote {
                Ok(count) => {
                    done += count;
                    *lost = 0;
                }
                Err(e) if is_full(&e) && self.give_up_oldest() => {}
                Err(e) => return (done, Err(e)),
            }
        }
        (done, Ok(()))
    }

    /// Writes the first few of the lines in one go; says how many.
    fn write(&mut self, at: Stamp, lost: u64, bodies: &[Body]) -> io::Result<usize> {
        let Some(current) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        let mut lines = Vec::new();
        let segment = current.number;
        let mut say = |note: &str| {
            let note = Note { at, boot_id: boot_id().into(), segment, note: note.into() };
            if let Some(body) = Body::of(&Record::Note(note)) {
                body.seal(segment, &mut lines);
            }
        };
        if !self.note.is_empty() {
            say(&self.note);
        }
        if lost > 0 {
            say(&format!("{lost} score lines were lost"));
        }
        let mut count = 0;
        for body in bodies {
            let len = lines.len() as u64 + body.line_len();
            let has_room = len <= BATCH as u64 && current.len + len <= self.limits.segment_bytes;
            if count > 0 && !has_room {
                break;
            }
            body.seal(current.number, &mut lines);
            count += 1;
        }
        current.write(&lines)?;
        self.sizes.insert(current.number, current.len);
        self.note.clear();
        self.report();
        Ok(count)
    }

    /// Begins a new segment if there is none that has room for the next line.
    fn current_for(&mut self, next: &Body) -> io::Result<()> {
        let limit = self.limits.segment_bytes;
        let has_room =
            |current: &Current| current.len == 0 || current.len + next.line_len() <= limit;
        if self.current.as_ref().is_some_and(has_room) {
            return Ok(());
        }
        if let Some(left) = self.current.take() {
            self.say(&format!("goes on from segment {}", left.number));
        }
        self.make_room(limit)?;
        let number = self.last_number + 1;
        if number > MAX_NUMBER {
            let why = "the numbers of segments are used up: move the folder's files elsewhere";
            return Err(io::Error::other(why));
        }
        if self.note.is_empty() {
            self.say("begins");
        }
        let file = self.disk.create(&self.path(number))?;
        self.last_number = number;
        self.sizes.insert(number, 0);
        self.current = Some(Current {
            number,
            file,
            len: 0,
            unclean: false,
            name_unflushed: true,
            flushed: false,
        });
        Ok(())
    }

    /// Makes what was written last. After an error open the folder again and begin anew: of what this segment was given
    /// since the last flush that worked, nothing is known.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let flushed = current.file.sync().and_then(|()| match current.name_unflushed {
            true => self.disk.sync_dir(&self.dir),
            false => Ok(()),
        });
        match flushed {
            Ok(()) => {
                current.name_unflushed = false;
                current.flushed = true;
            }
            // A disk that can no longer flush would else be given another file with each try.
            Err(_) if !current.flushed => {
                let _ = self.disk.remove(current.file.path());
            }
            Err(_) => {}
        }
        flushed
    }

    /// Deletes the oldest segments until `room` more bytes fit into the quota. One is always left.
    fn make_room(&mut self, room: u64) -> io::Result<()> {
        while self.sizes.len() > 1 && self.bytes() + room > self.limits.most_bytes {
            self.delete_oldest()?;
        }
        Ok(())
    }

    /// On a full disk: gives an old segment for what is new. Returns whether there was one to give.
    fn give_up_oldest(&mut self) -> bool {
        self.sizes.len() > LEFT_WHEN_FULL && self.delete_oldest().is_ok()
    }

    /// Deletes the oldest segment, or of those that can be deleted, but not the one that is written to.
    fn delete_oldest(&mut self) -> io::Result<()> {
        let current = self.current.as_ref().map(|current| current.number);
        let mut first_error = None;
        let numbers: Vec<u64> = self.sizes.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| Some(*number) != current) {
            match self.disk.remove(&self.path(number)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => drop(first_error.get_or_insert(e)),
                _ => {
                    self.sizes.remove(&number);
                    self.usage.add_deleted(1);
                    self.report();
                    return Ok(());
                }
            }
        }
        Err(first_error.unwrap_or(io::ErrorKind::StorageFull.into()))
    }

    fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    fn report(&self) {
        self.usage.set(self.bytes(), self.sizes.len() as u64);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(file_name(number, ENDING))
    }
}

impl Current {
    /// Adds bytes, all or none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unclean {
            self.file.cut(self.len)?;
            self.unclean = false;
        }
        if let Err(e) = self.file.write(self.len, bytes) {
            self.unclean = self.file.cut(self.len).is_err();
            return Err(e);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }
}

pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The segments of a folder with their sizes, and the largest number that any entry has.
pub(super) fn list(dir: &Path) -> io::Result<(BTreeMap<u64, u64>, u64)> {
    let (mut sizes, mut last) = (BTreeMap::new(), 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| parse_file_name(name, ENDING)) else {
            continue;
        };
        last = last.max(number);
        match fs::symlink_metadata(entry.path()) {
            Ok(found) if found.is_file() => drop(sizes.insert(number, found.len())),
            // A link or a folder of such a name is not ours.
            Ok(_) => {}
            // Deleted since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok((sizes, last))
}

pub(super) fn wrong_folder(dir: &Path) -> StorageError {
    StorageError::new(
        StorageErrorKind::Missing,
        dir,
        "no journal there; give its folder or a .jsonl file",
    )
}
