//! The journal: what the device said and what it measured, as lines of JSON in a folder that never outgrows its quota.
//!
//! Segments are called `00000001.jsonl`, `00000002.jsonl`, … and the oldest is deleted first: by number, never by a clock.
//! Each line has a checksum ([`Record`]). Messages are written at once and flushed to the disk ([`Fsync`]); scores are
//! gathered for [`GATHER_MS`] and ride along, because a flush for each of a million lines a day wears a card out.
//!
//! A message that was taken ([`Sink::deliver`] returned) survives a power cut. After a disk that failed to flush it may
//! stand twice, with the same boot and `seq`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod reader;
mod record;
mod segments;

pub use reader::{Reader, Skipped, unfinished};
pub use record::{MAX_LINE, Note, Record, ScoreLine};

use self::record::Body;
use self::segments::{Limits, Segments, is_full};
use super::{Item, Sink, SinkError, Wants};
use crate::clock::Stamp;
use crate::storage::{Disk, StorageError, Usage, require_mount};

/// How long scores are gathered before they are written, in milliseconds: with each write the file system writes as much
/// again of its own. A killed process loses as much of them, and a power cut as much as the kernel holds back besides
/// (half a minute).
pub const GATHER_MS: u64 = 30_000;

/// How often it is seen whether more scores came than memory should hold for so long.
const LOOK_MS: u64 = 1_000;

/// Score lines that are held while the disk cannot take them; after that the oldest are dropped.
const MOST_SCORES: usize = 8192;

/// `[journal]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// Folder of the segments; without one there is no journal.
    pub dir: Option<PathBuf>,
    /// Size of a segment, in units of 1,048,576 bytes.
    pub segment_mb: u64,
    /// Size of all segments together, in the same unit.
    pub most_mb: u64,
    /// Write a line for each scored region of each frame, which `oddsight replay` reads.
    pub scores: bool,
    pub fsync: Fsync,
    /// A mount point: nothing is written unless a file system is mounted there.
    pub require_mount: Option<PathBuf>,
}

/// When what was written is flushed to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// With each message of an event.
    Message,
    /// When the kernel finds time. A power cut costs about half a minute.
    Never,
}

impl Default for JournalSettings {
    fn default() -> JournalSettings {
        JournalSettings {
            dir: None,
            segment_mb: 4,
            most_mb: 256,
            scores: true,
            fsync: Fsync::Message,
            require_mount: None,
        }
    }
}

impl JournalSettings {
    fn limits(&self) -> Limits {
        // Four segments at least, so that the oldest can go while most of the journal stays; each takes any line.
        let most_bytes = self.most_mb.clamp(1, 1 << 40) << 20;
        let segment_bytes = (self.segment_mb.clamp(1, 1 << 40) << 20).min(most_bytes / 4);
        Limits { segment_bytes, most_bytes }
    }
}

/// The journal as a sink of messages. It opens its folder when it is first needed, and again after any trouble.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    limits: Limits,
    fsync: Fsync,
    require_mount: Option<PathBuf>,
    disk: Disk,
    queue: ScoreLog,
    /// Scores that wait for the disk.
    pending: VecDeque<Body>,
    segments: Option<Segments>,
    /// The newest segment could not be flushed and is left as it is.
    begin_anew: bool,
    now: Stamp,
    written_ms: u64,
    /// Score lines that were dropped since the journal last said so.
    lost: u64,
    in_trouble: bool,
}

impl Journal {
    /// A journal in `dir`; nothing is opened yet.
    pub fn new(dir: impl Into<PathBuf>, settings: &JournalSettings) -> Journal {
        Journal::on(Disk::default(), dir, settings)
    }

    /// As [`Journal::new`], on a disk of a simulation.
    pub fn on(disk: Disk, dir: impl Into<PathBuf>, settings: &JournalSettings) -> Journal {
        Journal {
            dir: dir.into(),
            limits: settings.limits(),
            fsync: settings.fsync,
            require_mount: settings.require_mount.clone(),
            disk,
            queue: ScoreLog { shared: Arc::default(), usage: Arc::default(), on: settings.scores },
            pending: VecDeque::new(),
            segments: None,
            begin_anew: false,
            now: Stamp::default(),
            written_ms: 0,
            lost: 0,
            in_trouble: false,
        }
    }

    /// Takes a score; it is written with the next message or [`Sink::tick`].
    pub fn score(&self, line: ScoreLine) {
        self.queue.push(line);
    }

    /// Where another thread leaves scores.
    pub fn scores(&self) -> ScoreLog {
        self.queue.clone()
    }

    /// What the journal takes of the disk. `items` are segments, `dropped` counts score lines.
    pub fn usage(&self) -> Arc<Usage> {
        self.queue.usage.clone()
    }

    /// Opens the folder now, so that what is wrong with it is known at the start.
    ///
    /// # Errors
    ///
    /// What is wrong. It may pass, and the journal tries again by itself.
    pub fn open(&mut self) -> Result<(), StorageError> {
        require_mount(self.require_mount.as_deref(), "journal.require_mount")
            .inspect_err(|_| self.segments = None)?;
        if self.segments.as_ref().is_some_and(|segments| !segments.is_here()) {
            self.segments = None;
        }
        if self.segments.is_none() {
            let usage = &self.queue.usage;
            let opened =
                Segments::open(&self.dir, self.limits, self.begin_anew, &self.disk, usage)?;
            if let Some(e) = opened.left().filter(|_| !self.in_trouble) {
                log::warn!("journal: {e}; the newest segment is left as it is");
            }
            self.segments = Some(opened);
            self.begin_anew = false;
        }
        Ok(())
    }

    /// Writes the scores so far and then the message.
    fn write(&mut self, message: Option<Body>) -> Result<(), StorageError> {
        self.gather();
        let result = self.open().and_then(|()| {
            let wrote = self.append(message.as_ref());
            wrote.map_err(|e| {
                if !is_full(&e) {
                    // The disk may be another one by the time of the next try.
                    self.segments = None;
                }
                StorageError::of(&self.dir, &e)
            })
        });
        match &result {
            Err(e) if !self.in_trouble => {
                log::warn!("journal: {e}");
                self.in_trouble = true;
            }
            // Only what was written shows that the disk can be written to again.
            Ok(true) if self.in_trouble => {
                log::info!("journal: {} is written again", self.dir.display());
                self.in_trouble = false;
            }
            _ => {}
        }
        result.map(|_| ())
    }

    /// Returns whether there was anything to write.
    fn append(&mut self, message: Option<&Body>) -> std::io::Result<bool> {
        let Some(segments) = &mut self.segments else { return Ok(false) };
        let has_lines = message.is_some() || !self.pending.is_empty();
        let scores = self.pending.make_contiguous();
        let (done, wrote) = segments.append(self.now, &mut self.lost, scores);
        self.pending.drain(..done);
        wrote?;
        if let Some(message) = message {
            segments.append(self.now, &mut self.lost, std::slice::from_ref(message)).1?;
            if self.fsync == Fsync::Message {
                segments.sync().inspect_err(|_| self.begin_anew = true)?;
            }
        }
        Ok(has_lines)
    }

    /// Takes over what other threads left.
    fn gather(&mut self) {
        let (lines, lost) = self.queue.take();
        self.lost += lost;
        for mut line in lines {
            if is_number(&line.name) {
                line.name.clear();
            }
            match Body::of(&Record::Score(line)) {
                Some(body) => self.pending.push_back(body),
                None => self.lose(1),
            }
        }
        let over = self.pending.len().saturating_sub(MOST_SCORES);
        self.pending.drain(..over);
        self.lose(over as u64);
    }

    fn lose(&mut self, count: u64) {
        self.lost += count;
        self.queue.usage.add_dropped(count);
    }
}

impl Sink for Journal {
    fn name(&self) -> &str {
        "journal"
    }

    fn wants(&self) -> Wants {
        Wants { shots: false, ..Wants::ALL }
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        let Item::Message(message) = item else { return Ok(()) };
        let Some(body) = Body::of(&Record::Message((**message).clone())) else {
            let why = format!("event {}: longer than a line of the journal", message.event);
            return Err(SinkError::refused(why));
        };
        if message.at.mono_ms >= self.now.mono_ms {
            self.now = message.at;
        }
        self.write(Some(body)).map_err(SinkError::passing)
    }

    fn tick(&mut self, now: Stamp) -> Duration {
        self.now = now;
        let since = now.mono_ms.saturating_sub(self.written_ms);
        let is_first = self.segments.is_none() && !self.in_trouble;
        if since >= GATHER_MS || is_first || self.queue.is_half_full() {
            self.written_ms = now.mono_ms;
            // Trouble is logged once, and scores wait for the next time.
            let _ = self.write(None);
            return Duration::from_millis(LOOK_MS);
        }
        Duration::from_millis(LOOK_MS.min(GATHER_MS - since))
    }

    fn close(&mut self) {
        let written = self.write(None).is_ok();
        if let Some(segments) =
            self.segments.as_mut().filter(|_| written && self.fsync == Fsync::Message)
            && let Err(e) = segments.sync()
        {
            log::warn!("journal: {}", StorageError::of(&self.dir, &e));
        }
        self.segments = None;
    }
}

/// Where scores wait for the journal's thread. Never waits for the disk; when nobody fetches them, the oldest go.
#[derive(Clone, Debug)]
pub struct ScoreLog {
    shared: Arc<Mutex<Waiting>>,
    usage: Arc<Usage>,
    on: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<ScoreLine>,
    lost: u64,
}

impl ScoreLog {
    /// Leaves a score.
    pub fn push(&self, line: ScoreLine) {
        if !self.on {
            return;
        }
        let mut waiting = self.lock();
        if waiting.lines.len() >= MOST_SCORES {
            waiting.lines.pop_front();
            waiting.lost += 1;
            self.usage.add_dropped(1);
        }
        waiting.lines.push_back(line);
    }

    /// Whether scores come faster than they are fetched: those who can should wait before they leave more.
    pub fn is_half_full(&self) -> bool {
        self.lock().lines.len() >= MOST_SCORES / 2
    }

    fn take(&self) -> (VecDeque<ScoreLine>, u64) {
        let taken = std::mem::take(&mut *self.lock());
        (taken.lines, taken.lost)
    }

    /// Lines are whole at every moment, so a thread that panicked left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the name of a frame is its source's and a number, as those of cameras are: `seq` says as much in each of a
/// million lines a day. Stored pictures have endings.
fn is_number(name: &str) -> bool {
    let number = name.rsplit(['/', '#']).next().unwrap_or_default();
    number.len() < name.len() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
