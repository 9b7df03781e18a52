//! The folders of events, and the room that they may take.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event_file::{EVENT_FILE, EventFile, is_ours};
use crate::event::EventId;
use crate::storage::{
    Disk, Identity, Lock, MAX_NUMBER, StorageError, StorageErrorKind, Usage, folder_name,
    is_temporary_name, parse_folder_name, temporary_name,
};

/// Files that the file system must have room for besides: without any, nothing on the machine can be written.
const FLOOR_INODES: u64 = 1000;

/// What frames leave of the quota to the `event.json` of their event, so that its end is always written.
const LIST_BYTES: u64 = 64 << 10;

/// What a small file and a folder take of most file systems.
const BLOCK: u64 = 4096;

/// How much room evidence may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub quota_bytes: u64,
    /// What must stay free on the disk.
    pub floor_bytes: u64,
}

/// A folder of event folders that is written to.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    limits: Limits,
    disk: Disk,
    usage: Arc<Usage>,
    identity: Identity,
    _lock: Lock,
    folders: BTreeMap<u64, Folder>,
    /// The largest number that anything in the folder has, ours or not.
    last_number: u64,
    /// The names of event folders were not flushed since one was made.
    names_unflushed: bool,
}

/// One event's folder.
#[derive(Clone, Debug)]
struct Folder {
    name: String,
    bytes: u64,
    files: u64,
}

/// Why something is not in the store.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass.
    Storage(StorageError),
    /// The item is too large, or no picture.
    Refused(String),
}

impl From<StorageError> for Trouble {
    fn from(e: StorageError) -> Trouble {
        Trouble::Storage(e)
    }
}

impl Store {
    /// Opens the folder, which is made if need be, and clears away what a crash left half done.
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        disk: &Disk,
        usage: &Arc<Usage>,
    ) -> Result<Store, StorageError> {
        let failed = |e: io::Error| StorageError::of(dir, &e);
        disk.make_dirs(dir).map_err(failed)?;
        disk.sync_above(dir);
        let lock = Lock::take(dir)?;
        let identity = Identity::of(dir).map_err(failed)?;
        let mut store = Store {
            dir: dir.to_path_buf(),
            limits,
            disk: disk.clone(),
            usage: usage.clone(),
            identity,
            _lock: lock,
            folders: BTreeMap::new(),
            last_number: 0,
            names_unflushed: true,
        };
        store.scan().map_err(failed)?;
        store.report();
        Ok(store)
    }

    /// Whether the folder is still the one that was opened.
    pub(super) fn is_here(&self) -> bool {
        Identity::of(&self.dir).is_ok_and(|now| now == self.identity)
    }

    fn scan(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let visible = gone_name_of(name).unwrap_or(name);
            let Some((number, _)) = parse_folder_name(visible) else { continue };
            self.last_number = self.last_number.max(number);
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let found = match visible == name {
                true => self.survey(name),
                false => self.finish_removal(visible).map(|()| None),
            };
            match found {
                Ok(Some(folder)) => drop(self.folders.insert(number, folder)),
                Ok(None) => {}
                // One folder that the card has lost is no reason to keep nothing any more.
                Err(e) => log::warn!("evidence: {}: {e}; left as it is", entry.path().display()),
            }
        }
        Ok(())
    }

    /// What an event's folder holds; `None` if nothing of ours is in it. Temporary files go.
    fn survey(&self, name: &str) -> io::Result<Option<Folder>> {
        let path = self.dir.join(name);
        let mut folder = Folder { name: name.to_string(), bytes: BLOCK, files: 1 };
        let mut is_empty = true;
        for file in our_files(&path)? {
            match file {
                Entry::Ours(name) => {
                    folder.bytes += taken(fs::symlink_metadata(path.join(name))?.len());
                    folder.files += 1;
                }
                Entry::Temporary(name) if self.is_unnamed_event_file(&path, &name) => {
                    self.disk.rename(&path.join(&name), &path.join(EVENT_FILE))?;
                    folder.bytes += taken(fs::symlink_metadata(path.join(EVENT_FILE))?.len());
                    folder.files += 1;
                }
                Entry::Temporary(name) => self.disk.remove(&path.join(name))?,
                Entry::Foreign => is_empty = false,
            }
        }
        if folder.files > 1 {
            return Ok(Some(folder));
        }
        if is_empty {
            self.disk.remove_dir(&path)?;
        }
        Ok(None)
    }

    /// Whether a temporary file is a whole `event.json` that lacks no more than its name: vfat can lose the old one in
    /// the middle of a rename.
    fn is_unnamed_event_file(&self, folder: &Path, name: &str) -> bool {
        name == temporary_name(EVENT_FILE)
            && !folder.join(EVENT_FILE).exists()
            && EventFile::read(&folder.join(name)).is_ok_and(|file| file.is_some())
    }

    /// The newest folder of an event.
    pub(super) fn find(&self, event: &EventId) -> Option<u64> {
        let wanted = safe_name(event);
        let is_its = |folder: &Folder| {
            parse_folder_name(&folder.name).is_some_and(|(_, rest)| rest == wanted)
        };
        self.folders.iter().rev().find(|(_, folder)| is_its(folder)).map(|(number, _)| *number)
    }

    /// Whether an event's folder is (still) there.
    pub(super) fn has(&self, number: u64) -> bool {
        self.folders.contains_key(&number)
    }

    /// Makes a folder for a new event.
    pub(super) fn begin(&mut self, event: &EventId) -> Result<u64, Trouble> {
        let number = self.last_number + 1;
        if number > MAX_NUMBER {
            let why = "the numbers of events are used up: move the folder's events elsewhere";
            return Err(self.failed(&io::Error::other(why)).into());
        }
        self.make_room(None, BLOCK, 1)?;
        let name = folder_name(number, &safe_name(event));
        self.disk.make_dir(&self.dir.join(&name)).map_err(|e| self.failed(&e))?;
        self.names_unflushed = true;
        self.last_number = number;
        self.folders.insert(number, Folder { name, bytes: BLOCK, files: 1 });
        self.report();
        Ok(number)
    }

    /// Puts a file into an event's folder, complete or not at all. It lasts after the next [`Store::sync`].
    pub(super) fn put(&mut self, number: u64, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let path = self.path(number).join(name);
        let before = fs::symlink_metadata(&path).map_or(0, |found| taken(found.len()));
        let reserve = if name == EVENT_FILE { 0 } else { LIST_BYTES };
        let growth = taken(bytes.len() as u64).saturating_sub(before);
        let alone = self.folders.get(&number).map_or(0, |folder| folder.bytes) + growth + reserve;
        if alone > self.limits.quota_bytes {
            let quota = megabytes(self.limits.quota_bytes);
            return Err(Trouble::Refused(format!(
                "{}: its event alone would be larger than evidence.quota_mb ({quota})",
                path.display()
            )));
        }
        self.make_room(Some(number), taken(bytes.len() as u64), 1)?;
        self.disk.put(&path, bytes).map_err(|e| StorageError::of(&path, &e))?;
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.bytes = folder.bytes.saturating_sub(before) + taken(bytes.len() as u64);
            folder.files += u64::from(before == 0);
        }
        self.report();
        Ok(())
    }

    /// Makes what was put into an event's folder last.
    pub(super) fn sync(&mut self, number: u64) -> Result<(), StorageError> {
        let path = self.path(number);
        self.disk.sync_dir(&path).map_err(|e| StorageError::of(&path, &e))?;
        if self.names_unflushed {
            self.disk.sync_dir(&self.dir).map_err(|e| self.failed(&e))?;
            self.names_unflushed = false;
        }
        Ok(())
    }

    /// An event's folder.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        let name = self.folders.get(&number).map_or("", |folder| &folder.name);
        self.dir.join(name)
    }

    /// Deletes the oldest events, but not `keep`, until there is room.
    ///
    /// The floor is kept by deleting only if deleting can reach it: when something else fills the disk, the evidence of a
    /// year is not given up for nothing.
    pub(super) fn make_room(
        &mut self,
        keep: Option<u64>,
        bytes: u64,
        files: u64,
    ) -> Result<(), StorageError> {
        while self.bytes() + bytes > self.limits.quota_bytes && self.delete_oldest(keep)? {}

        let Some(short) = self.short_of(bytes, files)? else { return Ok(()) };
        let others = || self.folders.iter().filter(|(number, _)| Some(**number) != keep);
        let could_give = Short {
            bytes: others().map(|(_, folder)| folder.bytes).sum(),
            files: others().map(|(_, folder)| folder.files).sum(),
        };
        if !could_give.covers(short) {
            return Err(self.too_full(short));
        }
        let goal =
            (self.bytes().saturating_sub(short.bytes), self.files().saturating_sub(short.files));
        while (self.bytes() > goal.0 || self.files() > goal.1) && self.delete_oldest(keep)? {}
        // Some file systems are slow to give back what was deleted: better to try again later than to delete more.
        match self.short_of(bytes, files)? {
            Some(short) => Err(self.too_full(short)),
            None => Ok(()),
        }
    }

    /// What is missing to have room for so much and keep the floor.
    fn short_of(&self, bytes: u64, files: u64) -> Result<Option<Short>, StorageError> {
        let free = self.disk.free(&self.dir).map_err(|e| self.failed(&e))?;
        let short = Short {
            bytes: self.limits.floor_bytes.saturating_add(bytes).saturating_sub(free.bytes),
            files: free.inodes.map_or(0, |inodes| (FLOOR_INODES + files).saturating_sub(inodes)),
        };
        Ok((short.bytes > 0 || short.files > 0).then_some(short))
    }

    fn too_full(&self, short: Short) -> StorageError {
        let why = format!(
            "the disk is below what must stay free by {} MB and {} files, and evidence holds {} MB; free some room, or \
             lower evidence.free_mb",
            megabytes(short.bytes.next_multiple_of(1 << 20)),
            short.files,
            megabytes(self.bytes()),
        );
        StorageError::new(StorageErrorKind::Full, &self.dir, why)
    }

    /// Deletes the event with the smallest number, or of those that can be deleted; `false` if there is none but `keep`.
    fn delete_oldest(&mut self, keep: Option<u64>) -> Result<bool, StorageError> {
        let mut first_error = None;
        let numbers: Vec<u64> = self.folders.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| Some(*number) != keep) {
            match self.delete(number) {
                Ok(()) => {
                    self.folders.remove(&number);
                    self.usage.add_deleted(1);
                    self.report();
                    return Ok(true);
                }
                Err(e) => drop(first_error.get_or_insert(StorageError::of(&self.path(number), &e))),
            }
        }
        first_error.map_or(Ok(false), Err)
    }

    fn delete(&self, number: u64) -> io::Result<()> {
        let Some(folder) = self.folders.get(&number) else { return Ok(()) };
        let hidden = self.dir.join(gone_name(&folder.name));
        // From here on a whole event is there, or none.
        match self.disk.rename(&self.path(number), &hidden) {
            // Somebody was faster, or an earlier try came so far.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !hidden.exists() => Ok(()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => self.finish_removal(&folder.name),
        }
    }

    /// Removes what is ours of a folder that is to go. One that holds something else as well gets its name back.
    fn finish_removal(&self, name: &str) -> io::Result<()> {
        let hidden = self.dir.join(gone_name(name));
        let mut is_foreign = false;
        for file in our_files(&hidden)? {
            match file {
                Entry::Ours(name) | Entry::Temporary(name) => {
                    self.disk.remove(&hidden.join(name))?
                }
                Entry::Foreign => is_foreign = true,
            }
        }
        if is_foreign {
            self.disk.rename(&hidden, &self.dir.join(name))
        } else {
            self.disk.remove_dir(&hidden)
        }
    }

    fn bytes(&self) -> u64 {
        self.folders.values().map(|folder| folder.bytes).sum()
    }

    fn files(&self) -> u64 {
        self.folders.values().map(|folder| folder.files).sum()
    }

    fn report(&self) {
        self.usage.set(self.bytes(), self.folders.len() as u64);
    }

    fn failed(&self, e: &io::Error) -> StorageError {
        StorageError::of(&self.dir, e)
    }
}

/// Room that is missing, or could be had.
#[derive(Clone, Copy, Debug)]
struct Short {
    bytes: u64,
    files: u64,
}

impl Short {
    fn covers(self, other: Short) -> bool {
        self.bytes >= other.bytes && self.files >= other.files
    }
}

/// An entry of an event's folder.
enum Entry {
    Ours(String),
    Temporary(String),
    /// Somebody else's: never touched.
    Foreign,
}

fn our_files(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_file = entry.file_type()?.is_file();
        found.push(match name.to_str().filter(|_| is_file) {
            Some(name) if is_ours(name) => Entry::Ours(name.to_string()),
            Some(name) if is_temporary_name(name, is_ours) => Entry::Temporary(name.to_string()),
            _ => Entry::Foreign,
        });
    }
    Ok(found)
}

/// What a folder is called while it is removed.
fn gone_name(name: &str) -> String {
    format!(".{name}.gone")
}

fn gone_name_of(hidden: &str) -> Option<&str> {
    hidden.strip_prefix('.')?.strip_suffix(".gone")
}

/// An event's name as a part of a file name, whatever it is.
fn safe_name(event: &EventId) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let name: String = event.as_str().chars().take(64).map(safe).collect();
    if name.is_empty() { "_".to_string() } else { name }
}

/// What a file takes of the disk.
fn taken(len: u64) -> u64 {
    len.next_multiple_of(BLOCK).max(BLOCK)
}

fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}
