//! Where events go.

pub mod evidence;
#[cfg(target_os = "linux")]
pub mod gpio;
#[cfg(target_os = "linux")]
pub mod hook;
pub mod journal;
pub mod mqtt;
pub mod outbox;
mod pause;
mod secret;
pub mod webhook;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
#[path = "../tests/support/messages.rs"]
mod messages;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::camera::Frame;
use crate::clock::Stamp;
use crate::event::{EventId, Message, Phase};

/// A receiver of events: the seam where a broker, a disk or a lamp is swapped. Each runs on a thread of its own behind
/// a bounded queue, so it may take its time; but no call may block for ever.
pub trait Sink: Send {
    /// Name in logs and metrics.
    fn name(&self) -> &str;

    /// What it is to be given; the rest never reaches its queue.
    fn wants(&self) -> Wants {
        Wants::ALL
    }

    /// Takes one item.
    ///
    /// # Errors
    ///
    /// The item is offered again after a pause if [`SinkError::is_passing`], and dropped otherwise.
    fn deliver(&mut self, item: &Item) -> Result<(), SinkError>;

    /// Does what is due without an item (keep-alive, the end of a pulse), and says how long until something is due.
    fn tick(&mut self, _now: Stamp) -> Duration {
        Duration::from_secs(3600)
    }

    /// What keeps it from its work, known without an item: the broker is away.
    fn trouble(&self) -> Option<&str> {
        None
    }

    /// Leaves the world as it should be without us: safe level, last message, flushed files.
    fn close(&mut self) {}
}

/// What a sink is given.
#[derive(Clone, Debug)]
pub enum Item {
    Message(Arc<Message>),
    /// A frame of an event, or from shortly before it.
    Shot {
        event: EventId,
        shot: Arc<Shot>,
    },
}

/// Which items a sink is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    pub start: bool,
    pub update: bool,
    pub end: bool,
    /// Messages of events beyond the budget, of these phases.
    pub suppressed: bool,
    pub shots: bool,
}

impl Wants {
    /// Everything.
    pub const ALL: Wants =
        Wants { start: true, update: true, end: true, suppressed: true, shots: true };

    /// Messages of these phases that people are to be told of, and no frames.
    pub fn messages(phases: &[Phase]) -> Wants {
        let has = |phase| phases.contains(&phase);
        Wants {
            start: has(Phase::Start),
            update: has(Phase::Update),
            end: has(Phase::End),
            suppressed: false,
            shots: false,
        }
    }

    /// Whether the item is among them.
    pub fn covers(self, item: &Item) -> bool {
        match item {
            Item::Shot { .. } => self.shots,
            Item::Message(message) if message.is_suppressed() && !self.suppressed => false,
            Item::Message(message) => match message.phase {
                Phase::Start => self.start,
                Phase::Update => self.update,
                Phase::End => self.end,
            },
        }
    }
}

/// A frame as it is kept.
#[derive(Clone, Debug)]
pub struct Shot {
    /// When it was taken.
    pub at: Stamp,
    pub frame: Arc<Frame>,
    /// What was said of it, if it was scored: energy and p-value of its most unusual region.
    pub score: Option<(f64, f64)>,
}

/// Why an item was not taken.
#[derive(Debug)]
pub struct SinkError {
    passing: bool,
    why: String,
}

impl SinkError {
    /// A trouble that may pass: the broker is away, the disk is full.
    pub fn passing(why: impl fmt::Display) -> SinkError {
        SinkError { passing: true, why: why.to_string() }
    }

    /// The item itself is refused.
    pub fn refused(why: impl fmt::Display) -> SinkError {
        SinkError { passing: false, why: why.to_string() }
    }

    /// Whether the same item is worth another try.
    pub fn is_passing(&self) -> bool {
        self.passing
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for SinkError {}
