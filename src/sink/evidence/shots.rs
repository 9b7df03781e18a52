//! Which frames are kept: some from before an event, some during it, some after.

use std::collections::VecDeque;
use std::sync::Arc;

use super::EvidenceSettings;
use crate::event::{Cause, EventId, Message, Phase};
use crate::sink::{Item, Shot};

/// Events that can be under way at once; of more, the oldest gets no further frames.
const MOST_EVENTS: usize = 64;

/// The frames of the last seconds, bounded in time and in bytes.
#[derive(Debug)]
pub struct PreRoll {
    keep_ms: u64,
    keep_bytes: usize,
    shots: VecDeque<Arc<Shot>>,
    bytes: usize,
}

impl PreRoll {
    /// Keeps what is at most `keep_ms` older than the newest frame, and at most `keep_bytes` of frames.
    pub fn new(keep_ms: u64, keep_bytes: usize) -> PreRoll {
        PreRoll { keep_ms, keep_bytes, shots: VecDeque::new(), bytes: 0 }
    }

    /// Takes a frame, and lets go of those that are too old or too many. A frame that is larger than all that may be kept
    /// leaves nothing.
    pub fn push(&mut self, shot: Arc<Shot>) {
        let now_ms = shot.at.mono_ms;
        self.bytes += shot.frame.bytes();
        self.shots.push_back(shot);
        while let Some(oldest) = self.shots.front() {
            let is_old = now_ms.saturating_sub(oldest.at.mono_ms) > self.keep_ms;
            if !is_old && self.bytes <= self.keep_bytes {
                break;
            }
            self.bytes -= oldest.frame.bytes();
            self.shots.pop_front();
        }
    }

    /// The frames, oldest first.
    pub fn shots(&self) -> impl Iterator<Item = &Arc<Shot>> {
        self.shots.iter()
    }

    /// Bytes of the frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Chooses the frames of events: give it each frame as it comes, then the messages that came of it.
#[derive(Debug)]
pub struct Shots {
    pre_roll: PreRoll,
    after_ms: u64,
    every_ms: u64,
    most_frames: u32,
    events: VecDeque<UnderWay>,
}

/// An event that frames are kept of.
#[derive(Debug)]
struct UnderWay {
    event: EventId,
    /// When its newest kept frame was taken.
    newest_ms: Option<u64>,
    /// Frames after this are not its.
    until_ms: Option<u64>,
    count: u32,
}

impl Shots {
    /// Nothing is under way.
    pub fn new(settings: &EvidenceSettings) -> Shots {
        let before_bytes = usize::try_from(settings.before_mb << 20).unwrap_or(usize::MAX);
        Shots {
            pre_roll: PreRoll::new(milliseconds(settings.before_s), before_bytes),
            after_ms: milliseconds(settings.after_s),
            every_ms: milliseconds(settings.every_s),
            most_frames: settings.most_frames,
            events: VecDeque::new(),
        }
    }

    /// Takes a frame; gives what is to be kept of the events under way.
    pub fn frame(&mut self, shot: &Arc<Shot>) -> Vec<Item> {
        let now_ms = shot.at.mono_ms;
        self.events.retain(|event| event.until_ms.is_none_or(|until| now_ms <= until));
        self.pre_roll.push(shot.clone());
        let mut items = Vec::new();
        for event in &mut self.events {
            let is_due =
                event.newest_ms.is_none_or(|newest| now_ms >= newest.saturating_add(self.every_ms));
            if is_due && event.count < self.most_frames {
                items.push(event.keep(shot));
            }
        }
        items
    }

    /// Takes a message; gives the frames that the start of an event asks for: its own, and those from before. Drift has
    /// none, because no frame shows it.
    pub fn message(&mut self, message: &Message) -> Vec<Item> {
        if matches!(message.cause, Cause::Drift(_)) {
            return Vec::new();
        }
        match message.phase {
            Phase::Update => Vec::new(),
            Phase::End => {
                let until_ms = Some(message.at.mono_ms.saturating_add(self.after_ms));
                for event in self.events.iter_mut().filter(|e| e.event == message.event) {
                    event.until_ms = until_ms;
                }
                Vec::new()
            }
            Phase::Start => {
                let event = message.event.clone();
                let mut begun = UnderWay { event, newest_ms: None, until_ms: None, count: 0 };
                let most = self.most_frames as usize;
                let over = self.pre_roll.shots.len().saturating_sub(most);
                let items = self.pre_roll.shots().skip(over).map(|shot| begun.keep(shot)).collect();
                self.events.push_back(begun);
                if self.events.len() > MOST_EVENTS {
                    self.events.pop_front();
                }
                items
            }
        }
    }
}

impl UnderWay {
    fn keep(&mut self, shot: &Arc<Shot>) -> Item {
        self.newest_ms = Some(shot.at.mono_ms);
        self.count += 1;
        Item::Shot { event: self.event.clone(), shot: shot.clone() }
    }
}

/// Seconds of a setting; what is negative or no number is 0.
fn milliseconds(seconds: f64) -> u64 {
    // The conversion saturates.
    (seconds * 1000.0) as u64
}

#[cfg(test)]
mod tests;
