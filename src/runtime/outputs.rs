//! From the main loop to everything that it feeds: sinks, scores, evidence, the board.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::capture::Captured;
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
    pub name: &'static str,
    pub dir: PathBuf,
    pub usage: Arc<Usage>,
    pub quota_bytes: u64,
}

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
    pub fn report(&self) {
        self.board.sinks(self.outboxes.iter().map(sink_status).collect());
        self.board.storage(self.kept.iter().map(Kept::status).collect());
    }

    /// Delivers what waits, and closes every sink; says which were left with something after `within`.
    pub fn close(self, within: Duration) -> Vec<String> {
        let close = |outbox: Outbox| {
            let name = outbox.name().to_string();
            (!outbox.close(within)).then_some(name)
        };
        thread::scope(|scope| {
            let closing: Vec<_> = self
                .outboxes
                .into_iter()
                .map(|outbox| scope.spawn(move || close(outbox)))
                .collect();
            closing.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
        })
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
    fn status(&self) -> StorageStatus {
        let free = storage::free(&self.dir);
        StorageStatus {
            name: self.name.into(),
            used_bytes: self.usage.bytes(),
            quota_bytes: self.quota_bytes,
            free_bytes: free.as_ref().ok().map(|free| free.bytes),
            trouble: free.err().map(|e| format!("{}: {e}", self.dir.display())),
        }
    }
}
