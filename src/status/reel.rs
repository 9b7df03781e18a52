//! The few frames that are kept for people to look at, within a budget of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::report::{FrameStatus, Said, worst};
use crate::camera::Frame;
use crate::clock::Stamp;

/// Newest frames, of which one may be the peak of an event that starts with the last of them.
const NEWEST: usize = 3;
/// Frames that readers were told of and may ask for, though others have come meanwhile: most, and fewest when there
/// is no room.
const TOLD: usize = 8;
const TOLD_AT_LEAST: usize = 2;
/// Slots of the strip, and their length in milliseconds.
const SLOTS: usize = 12;
const SLOT_MS: u64 = 10_000;

/// A scored frame.
#[derive(Clone, Debug)]
pub struct Still {
    /// Number among the scored frames of this run.
    pub number: u64,
    pub at: Stamp,
    pub frame: Arc<Frame>,
    /// What was said of each region.
    pub regions: Arc<[Said]>,
}

impl Still {
    /// The largest energy of its regions.
    pub fn energy(&self) -> f64 {
        worst(&self.regions).map_or(f64::NEG_INFINITY, |(_, said)| said.energy)
    }

    /// As a reader is told of it.
    pub(super) fn status(&self, now: Stamp) -> FrameStatus {
        FrameStatus {
            number: self.number,
            name: self.frame.name.clone(),
            age_s: seconds(self.at.mono_ms, now.mono_ms),
            regions: self.regions.to_vec(),
        }
    }
}

/// From one monotonic moment to a later one, in seconds.
pub(super) fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

/// The newest frames, and of each of the last slots the most unusual one.
#[derive(Debug, Default)]
pub(super) struct Reel {
    newest: VecDeque<Still>,
    told: VecDeque<Still>,
    strip: VecDeque<Still>,
}

impl Reel {
    pub fn push(&mut self, still: &Still) {
        let slot = |still: &Still| still.at.mono_ms / SLOT_MS;
        match self.strip.back_mut() {
            Some(kept) if slot(kept) == slot(still) => {
                if still.energy() > kept.energy() {
                    *kept = still.clone();
                }
            }
            _ => self.strip.push_back(still.clone()),
        }
        self.newest.push_back(still.clone());
        while self.newest.len() > NEWEST {
            self.newest.pop_front();
        }
        while self.strip.len() > SLOTS + 1 {
            self.strip.pop_front();
        }
    }

    /// The newest frames, oldest first.
    pub fn newest(&self) -> impl Iterator<Item = &Still> {
        self.newest.iter()
    }

    /// The newest frame.
    pub fn last(&self) -> Option<&Still> {
        self.newest.back()
    }

    /// A reader is told of this frame.
    pub fn tell(&mut self, still: &Still) {
        if !self.told.iter().any(|told| told.number == still.number) {
            self.told.push_back(still.clone());
        }
        while self.told.len() > TOLD {
            self.told.pop_front();
        }
    }

    /// A frame that is still kept.
    pub fn find(&self, number: u64) -> Option<&Still> {
        let mut kept = self.newest.iter().chain(&self.told).chain(&self.strip);
        kept.find(|still| still.number == number)
    }

    /// The slots that are over, newest first.
    pub fn strip(&self) -> impl Iterator<Item = &Still> {
        self.strip.iter().rev().skip(1)
    }

    /// Drops the frame that is needed least: one that was told of, then the oldest of the strip.
    pub fn drop_oldest(&mut self) -> bool {
        if self.told.len() > TOLD_AT_LEAST {
            return self.told.pop_front().is_some();
        }
        self.strip.pop_front().is_some()
    }

    /// Bytes of the frames that can be dropped, counted double where a frame is kept for two reasons.
    pub fn bytes(&self) -> usize {
        let told = self.told.iter().rev().skip(TOLD_AT_LEAST);
        told.chain(&self.strip).map(|still| still.frame.bytes()).sum()
    }
}
