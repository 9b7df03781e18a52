//! From the main loop to everything that it feeds: sinks, scores, evidence, the board.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::capture::Captured;
use super::errands::Errands;
use super::outlets;
use super::watch::{Outcome, Step};
use crate::clock::Stamp;
use crate::event::Message;
use crate::gate::Region;
use crate::metrics::FrameResult;
use crate::sink::evidence::Shots;
use crate::sink::journal::{ScoreLine, ScoreLog};
use crate::sink::outbox::Outbox;
use crate::sink::{Item, Shot};
use crate::status::{Board, SinkStatus, StorageStatus};
use crate::storage::{self, Usage};

/// A store that is looked after.
pub struct Kept {
    name: &'static str,
    dir: PathBuf,
    usage: Arc<Usage>,
    quota_bytes: u64,
    free: Arc<Mutex<Asked>>,
}

/// What a file system said of its room when it was last asked.
#[derive(Default)]
struct Asked {
    /// It was asked at this time and has not answered yet.
    since_ms: Option<u64>,
    free_bytes: Option<u64>,
    trouble: Option<String>,
}

/// A disk that does not say how much room it has for so long hangs.
const HANGS_MS: u64 = 30_000;

/// All that the main loop feeds. Nothing here waits for anybody.
pub struct Outputs {
    pub board: Arc<Board>,
    pub outboxes: Vec<Outbox>,
    /// Chooses the frames that are kept, if any are.
    pub shots: Option<Shots>,
    /// Where scores go, if they are written down.
    pub scores: Option<ScoreLog>,
    pub kept: Vec<Kept>,
}

/// What is left in queues when nobody is there to wait any longer has so long to be delivered.
const LAST_MOMENTS: Duration = Duration::from_millis(1500);

/// How often the end of the sinks is looked for.
const LOOK: Duration = Duration::from_millis(5);

impl Outputs {
    /// A frame was taken, and this came of it.
    pub fn frame(&mut self, captured: &Captured, step: Step, regions: &[Region]) {
        let Captured { frame, at } = captured;
        let mut score = None;
        match &step.outcome {
            Outcome::Scored { verdicts, took } => {
                self.board.scored(*at, frame, verdicts, *took);
                let most = verdicts.iter().min_by(|a, b| a.p_value.total_cmp(&b.p_value));
                score = most.map(|verdict| (verdict.energy, verdict.p_value));
                if let Some(scores) = &self.scores {
                    for (region, verdict) in regions.iter().zip(verdicts) {
                        scores.push(ScoreLine {
                            seq: frame.seq,
                            at: *at,
                            region: region.name().to_string(),
                            energy_q16: verdict.energy_q16,
                            p_value: verdict.p_value,
                            light_jumped: step.light_jumped,
                            name: frame.name.clone(),
                        });
                    }
                }
            }
            Outcome::Unchanged => self.board.passed(*at, FrameResult::Unchanged),
            Outcome::Shed => self.board.passed(*at, FrameResult::Shed),
            Outcome::Faulty { kind, why } => self.board.fault(*at, *kind, why),
        }
        if let Some(shots) = &mut self.shots {
            let shot = Arc::new(Shot { at: *at, frame: frame.clone(), score });
            for item in shots.frame(&shot) {
                offer(&self.outboxes, &item);
            }
        }
        self.say(step.messages);
    }

    /// The camera gave no frame, and this came of it.
    pub fn fault(&mut self, at: Stamp, step: Step) {
        if let Outcome::Faulty { kind, why } = &step.outcome {
            self.board.fault(at, *kind, why);
        }
        self.say(step.messages);
    }

    /// Tells everybody.
    pub fn say(&mut self, messages: Vec<Message>) {
        for message in messages {
            log::info!("{}", line(&message));
            self.board.event(&message);
            let frames =
                self.shots.as_mut().map(|shots| shots.message(&message)).unwrap_or_default();
            // The event first: a store makes its folder of it.
            offer(&self.outboxes, &Item::Message(Arc::new(message)));
            frames.iter().for_each(|item| offer(&self.outboxes, item));
        }
    }

    /// How sinks and stores do, for the board.
    pub fn report(&self, now: Stamp, errands: &Errands) {
        self.board.sinks(self.outboxes.iter().map(sink_status).collect());
        self.board.storage(self.kept.iter().map(|kept| kept.status(now.mono_ms)).collect());
        self.kept.iter().for_each(|kept| kept.ask(now.mono_ms, errands));
    }

    /// Whether more comes than is written: a source that can wait should.
    pub fn is_behind(&self) -> bool {
        let many = outlets::LOCAL.queue as u64 / 2;
        self.scores.as_ref().is_some_and(ScoreLog::is_half_full)
            || self.outboxes.iter().any(|outbox| outbox.counts().queued >= many)
    }

    /// Begins what [`Outputs::close`] waits for.
    pub fn end(&self) {
        self.outboxes.iter().for_each(Outbox::end);
    }

    /// Delivers what waits, and closes every sink, for as long as `may_last` says so; gives the names of those that were
    /// left with something.
    pub fn close(&mut self, may_last: &mut dyn FnMut() -> bool) -> Vec<String> {
        self.end();
        while !self.outboxes.iter().all(Outbox::is_closed) && may_last() {
            thread::sleep(LOOK);
        }
        let undone = self.outboxes.drain(..).filter(|outbox| !outbox.is_done());
        undone.map(|outbox| outbox.name().to_string()).collect()
    }
}

/// However the program comes to its end, lines are made safe and files closed.
impl Drop for Outputs {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_MOMENTS;
        self.close(&mut || Instant::now() < until);
    }
}

fn offer(outboxes: &[Outbox], item: &Item) {
    outboxes.iter().for_each(|outbox| outbox.offer(item.clone()));
}

/// A message for the log.
fn line(message: &Message) -> String {
    serde_json::to_string(message).unwrap_or_else(|e| format!("event {}: {e}", message.event))
}

fn sink_status(outbox: &Outbox) -> SinkStatus {
    let counts = outbox.counts();
    SinkStatus {
        name: outbox.name().to_string(),
        delivered: counts.delivered,
        dropped: counts.dropped + counts.failed,
        failed: counts.retried,
        queued: counts.queued,
        trouble: outbox.trouble(),
    }
}

impl Kept {
    /// A store in `dir`.
    pub fn new(name: &'static str, dir: &Path, usage: Arc<Usage>, quota_bytes: u64) -> Kept {
        Kept { name, dir: dir.to_path_buf(), usage, quota_bytes, free: Arc::default() }
    }

    /// Asks the file system how much room it has, unless it owes an answer. One that hangs (a disk in the network, a bad
    /// card) holds up the errands, and no frame.
    fn ask(&self, now_ms: u64, errands: &Errands) {
        let mut asked = lock(&self.free);
        if asked.since_ms.is_some() {
            return;
        }
        let (dir, answer) = (self.dir.clone(), self.free.clone());
        let taken = errands.run(move || {
            let free = storage::free(&dir);
            *lock(&answer) = Asked {
                since_ms: None,
                free_bytes: free.as_ref().ok().map(|free| free.bytes),
                trouble: free.err().map(|e| e.to_string()),
            };
        });
        asked.since_ms = taken.then_some(now_ms);
    }

    fn status(&self, now_ms: u64) -> StorageStatus {
        let asked = lock(&self.free);
        let hangs = asked.since_ms.is_some_and(|ms| now_ms.saturating_sub(ms) >= HANGS_MS);
        let silent = || format!("{}: the disk does not answer", self.dir.display());
        StorageStatus {
            name: self.name.into(),
            used_bytes: self.usage.bytes(),
            quota_bytes: self.quota_bytes,
            free_bytes: asked.free_bytes,
            trouble: if hangs { Some(silent()) } else { asked.trouble.clone() },
        }
    }
}

/// What is asked and answered is whole at every moment.
fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}
