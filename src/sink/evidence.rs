//! The evidence store: for each event a folder with what was said of it and some of its frames.
//!
//! `00000042-5f3a9c1e-000007/` holds `event.json` and frames such as `0003-421337.jpg`. The number in front counts events
//! over all starts of the device, and the event with the smallest number is deleted first: no clock is asked. Every file
//! gets its name when its bytes are on the disk, so what has a name is complete.
//!
//! Room is bounded twice: evidence takes at most its quota, and leaves the disk at least its floor. Files that somebody
//! else put there are never deleted.
//!
//! [`Shots`] chooses the frames, on the thread that sees them; [`Evidence`] writes them, on a thread that may wait for the
//! disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod event_file;
mod picture;
mod shots;
mod store;

pub use event_file::{EVENT_FILE, EventFile, KeptFrame};
pub use picture::file;
pub use shots::{PreRoll, Shots};

use self::event_file::{frame_name, parse_frame_name};
use self::store::{Limits, Store, Trouble};
use super::{Item, Shot, Sink, SinkError};
use crate::clock::Stamp;
use crate::event::{EventId, Message, Phase};
use crate::storage::{Disk, StorageError, StorageErrorKind, Usage, require_mount};

/// How long the names of frames may wait for their folder to be flushed: one flush does for all that came meanwhile.
const FLUSH_MS: u64 = 1_000;

/// How long frames may be missing in `event.json`. The next message of the event writes them anyway.
const LIST_MS: u64 = 10_000;

/// How often the floor is looked at while nothing is written: others fill the disk, too.
const FLOOR_MS: u64 = 60_000;

/// Events whose state is in memory; those that got nothing for longest are read back when they are needed.
const MOST_OPEN: usize = 16;

/// `[evidence]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceSettings {
    /// Folder of the events; without one no evidence is kept.
    pub dir: Option<PathBuf>,
    /// Most that evidence takes, in units of 1,048,576 bytes.
    pub quota_mb: u64,
    /// What stays free on the disk, in the same unit.
    pub free_mb: u64,
    /// Seconds before an event of which frames are kept.
    pub before_s: f64,
    /// Memory for those frames, in the same unit as the quota.
    pub before_mb: u64,
    /// Seconds after an event of which frames are kept.
    pub after_s: f64,
    /// Seconds between the frames that are kept while an event lasts.
    pub every_s: f64,
    /// Most frames of one event.
    pub most_frames: u32,
    /// A mount point: nothing is written unless a file system is mounted there.
    pub require_mount: Option<PathBuf>,
}

impl Default for EvidenceSettings {
    fn default() -> EvidenceSettings {
        EvidenceSettings {
            dir: None,
            quota_mb: 1024,
            free_mb: 512,
            before_s: 3.0,
            before_mb: 16,
            after_s: 5.0,
            every_s: 1.0,
            most_frames: 60,
            require_mount: None,
        }
    }
}

/// The evidence store as a sink of messages and frames. It opens its folder when it is first needed, and again after any
/// trouble.
#[derive(Debug)]
pub struct Evidence {
    dir: PathBuf,
    limits: Limits,
    most_frames: u64,
    require_mount: Option<PathBuf>,
    disk: Disk,
    usage: Arc<Usage>,
    store: Option<Store>,
    /// Least recently used first.
    events: Vec<OpenEvent>,
    now: Stamp,
    floor_ms: u64,
    in_trouble: bool,
}

/// An event whose folder is in the store.
#[derive(Debug)]
struct OpenEvent {
    number: u64,
    file: EventFile,
    next_frame: u64,
    /// Since when something that was written could still be lost by a power cut.
    unflushed_ms: Option<u64>,
    /// Since when `event.json` is behind.
    unlisted_ms: Option<u64>,
}

impl Evidence {
    /// A store in `dir`; nothing is opened yet.
    pub fn new(dir: impl Into<PathBuf>, settings: &EvidenceSettings) -> Evidence {
        Evidence::on(Disk::default(), dir, settings)
    }

    /// As [`Evidence::new`], on a disk of a simulation.
    pub fn on(disk: Disk, dir: impl Into<PathBuf>, settings: &EvidenceSettings) -> Evidence {
        Evidence {
            dir: dir.into(),
            limits: Limits {
                quota_bytes: settings.quota_mb.min(1 << 40) << 20,
                floor_bytes: settings.free_mb.min(1 << 40) << 20,
            },
            most_frames: settings.most_frames.into(),
            require_mount: settings.require_mount.clone(),
            disk,
            usage: Arc::default(),
            store: None,
            events: Vec::new(),
            now: Stamp::default(),
            floor_ms: 0,
            in_trouble: false,
        }
    }

    /// What evidence takes of the disk. `items` are events, `dropped` counts frames beyond the most of an event.
    pub fn usage(&self) -> Arc<Usage> {
        self.usage.clone()
    }

    /// Opens the folder now, so that what is wrong with it is known at the start.
    ///
    /// # Errors
    ///
    /// What is wrong. It may pass, and the store tries again by itself.
    pub fn open(&mut self) -> Result<(), StorageError> {
        self.store().map(|_| ())
    }

    /// The store, opened if need be.
    fn store(&mut self) -> Result<&mut Store, StorageError> {
        require_mount(self.require_mount.as_deref(), "evidence.require_mount")
            .inspect_err(|_| self.store = None)?;
        let store = match self.store.take().filter(Store::is_here) {
            Some(store) => store,
            None => {
                let store = Store::open(&self.dir, self.limits, &self.disk, &self.usage)?;
                // Where the folder is another one, its events go on there under new numbers.
                self.events.retain(|open| store.find(&open.file.event) == Some(open.number));
                store
            }
        };
        Ok(self.store.insert(store))
    }

    /// Where an event is in `events`; its folder is made if need be.
    fn event(&mut self, event: &EventId, is_new: bool) -> Result<usize, Trouble> {
        let on_disk = self.store()?.find(event);
        let place = self.events.iter().position(|open| open.file.event == *event);
        let known = place.map(|place| self.events.remove(place));
        let has = |number| self.store.as_ref().is_some_and(|store| store.has(number));
        let known = known.filter(|open| has(open.number));
        let open = match known {
            Some(open) => open,
            // A start has a folder of its own, whatever an earlier one of the same name left; and a folder that the card
            // has lost is no place to go on.
            None => match on_disk.filter(|_| !is_new).map(|number| self.read_back(number, event)) {
                Some(Ok(open)) => open,
                None | Some(Err(_)) => OpenEvent {
                    number: self.store()?.begin(event)?,
                    file: EventFile::new(event.clone()),
                    next_frame: 1,
                    unflushed_ms: None,
                    unlisted_ms: None,
                },
            },
        };
        self.events.push(open);
        if self.events.len() > MOST_OPEN {
            // Best effort: its messages are written already.
            let _ = if self.events[0].unlisted_ms.is_some() { self.list(0) } else { Ok(()) };
            self.events.remove(0);
        }
        Ok(self.events.len() - 1)
    }

    /// What is on the disk of an event that is not in memory: of a start of the program before, or of long ago.
    fn read_back(&mut self, number: u64, event: &EventId) -> Result<OpenEvent, StorageError> {
        let path = self.store()?.path(number);
        let failed = |e: std::io::Error| StorageError::of(&path, &e);
        let mut next_frame = 1;
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(frame) = name.to_str().and_then(parse_frame_name) {
                next_frame = next_frame.max(frame.saturating_add(1));
            }
        }
        let file = EventFile::read(&path.join(EVENT_FILE)).map_err(failed)?;
        let file = file.unwrap_or_else(|| EventFile::new(event.clone()));
        let unflushed_ms = Some(self.now.mono_ms);
        Ok(OpenEvent { number, file, next_frame, unflushed_ms, unlisted_ms: None })
    }

    fn message(&mut self, message: &Message) -> Result<(), Trouble> {
        let at = self.event(&message.event, message.phase == Phase::Start)?;
        self.events[at].file.take(message);
        self.list(at)
    }

    fn shot(&mut self, event: &EventId, shot: &Shot) -> Result<(), Trouble> {
        let at = self.event(event, false)?;
        let open = &mut self.events[at];
        let now_ms = self.now.mono_ms;
        if open.next_frame > self.most_frames {
            open.file.left_out += 1;
            open.unlisted_ms.get_or_insert(now_ms);
            self.usage.add_dropped(1);
            return Ok(());
        }
        let (bytes, ending) = file(&shot.frame)
            .map_err(|why| Trouble::Refused(format!("frame {}: {why}", shot.frame.name)))?;
        let name = frame_name(open.next_frame, shot.at.mono_ms, ending);
        let number = open.number;
        self.store()?.put(number, &name, &bytes)?;
        let open = &mut self.events[at];
        open.next_frame += 1;
        open.file.frames.push(KeptFrame {
            file: name,
            at: shot.at,
            name: shot.frame.name.clone(),
            energy: shot.score.map(|(energy, _)| energy),
            p_value: shot.score.map(|(_, p_value)| p_value),
        });
        open.unflushed_ms.get_or_insert(now_ms);
        open.unlisted_ms.get_or_insert(now_ms);
        Ok(())
    }

    /// Writes an event's `event.json` and flushes its folder.
    fn list(&mut self, at: usize) -> Result<(), Trouble> {
        let open = &self.events[at];
        let number = open.number;
        let mut bytes = serde_json::to_vec_pretty(&open.file)
            .map_err(|e| Trouble::Refused(format!("event {}: {e}", open.file.event)))?;
        bytes.push(b'\n');
        self.store()?.put(number, EVENT_FILE, &bytes)?;
        self.events[at].unlisted_ms = None;
        self.flush(at)?;
        // Only what was written shows that the disk can be written to again.
        if std::mem::take(&mut self.in_trouble) {
            log::info!("evidence: {} is written again", self.dir.display());
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> Result<(), Trouble> {
        let number = self.events[at].number;
        self.store()?.sync(number)?;
        self.events[at].unflushed_ms = None;
        Ok(())
    }

    /// Writes and flushes what has waited for so long.
    fn settle(&mut self, list_ms: u64, flush_ms: u64) -> Result<(), Trouble> {
        self.store()?;
        if let Some(store) = &self.store {
            // Some were deleted to make room.
            self.events.retain(|open| store.has(open.number));
        }
        let now_ms = self.now.mono_ms;
        let is_due = |since: Option<u64>, after_ms| {
            since.is_some_and(|since| now_ms.saturating_sub(since) >= after_ms)
        };
        for at in 0..self.events.len() {
            let open = &self.events[at];
            if is_due(open.unlisted_ms, list_ms) {
                self.list(at)?;
            } else if is_due(open.unflushed_ms, flush_ms) {
                self.flush(at)?;
            }
        }
        Ok(())
    }

    /// Says once that there is trouble, and tells the queue what became of the item.
    fn report(&mut self, result: Result<(), Trouble>) -> Result<(), SinkError> {
        let e = match result {
            Err(Trouble::Refused(why)) => return Err(SinkError::refused(why)),
            Err(Trouble::Storage(e)) => e,
            Ok(()) => return Ok(()),
        };
        if !std::mem::replace(&mut self.in_trouble, true) {
            log::warn!("evidence: {e}");
        }
        if e.kind() != StorageErrorKind::Full {
            // The disk may be another one by the time of the next try.
            self.store = None;
        }
        Err(SinkError::passing(e))
    }

    fn advance(&mut self, at: Stamp) {
        if at.mono_ms >= self.now.mono_ms {
            self.now = at;
        }
    }
}

impl Sink for Evidence {
    fn name(&self) -> &str {
        "evidence"
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        let result = match item {
            Item::Message(message) => {
                self.advance(message.at);
                self.message(message)
            }
            Item::Shot { event, shot } => {
                self.advance(shot.at);
                self.shot(event, shot)
            }
        };
        self.report(result)
    }

    fn tick(&mut self, now: Stamp) -> Duration {
        self.advance(now);
        let is_first = self.store.is_none() && !self.in_trouble;
        let since = self.now.mono_ms.saturating_sub(self.floor_ms);
        let mut result = Ok(());
        if is_first || since >= FLOOR_MS {
            self.floor_ms = self.now.mono_ms;
            let room = self.store().and_then(|store| store.make_room(None, 0, 0));
            result = room.map_err(Trouble::from);
        }
        if self.store.is_some() {
            result = result.and(self.settle(LIST_MS, FLUSH_MS));
        }
        // What is wrong is logged; it is tried again at the next tick.
        let _ = self.report(result);
        let is_waiting =
            self.events.iter().any(|open| open.unflushed_ms.or(open.unlisted_ms).is_some());
        Duration::from_millis(if is_waiting { FLUSH_MS } else { FLOOR_MS })
    }

    fn close(&mut self) {
        if self.store.is_some() {
            let settled = self.settle(0, 0);
            let _ = self.report(settled);
        }
        self.store = None;
        self.events.clear();
    }
}

#[cfg(test)]
mod tests;
