//! The last events, as their messages tell them.

use std::collections::VecDeque;

use serde::Serialize;

use super::reel::{Still, seconds};
use super::report::{EventStatus, FaultStatus, Place, class_name};
use super::source::without_passwords;
use crate::clock::Stamp;
use crate::event::{Cause, EventId, Message, Phase};

/// Events that the plot of a day can show.
const MOST: usize = 200;
/// Of those, the ones that keep a frame.
const WITH_FRAME: usize = 12;

/// A stretch of time on the plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    pub event: EventId,
    pub kind: BandKind,
    /// A class or a region, or which fault; empty if there is only one region and no classes.
    pub label: String,
    /// Monotonic milliseconds.
    pub from_ms: u64,
    /// None while it goes on.
    pub to_ms: Option<u64>,
}

/// What a band is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BandKind {
    Unusual,
    CameraFault,
    Drift,
}

#[derive(Debug)]
struct Entry {
    event: EventId,
    phase: Phase,
    cause: Cause,
    started_ms: u64,
    /// When its last message was made.
    said_ms: u64,
    /// Its frame with the largest energy.
    peak: Option<Still>,
}

impl Entry {
    fn is_on(&self) -> bool {
        self.phase != Phase::End
    }

    fn ended_ms(&self, now_ms: u64) -> u64 {
        if self.is_on() { now_ms } else { self.said_ms }
    }
}

/// Events in order of their first message.
#[derive(Debug, Default)]
pub(super) struct Events {
    entries: VecDeque<Entry>,
}

impl Events {
    /// Takes a message; `newest` are the frames that may have led to it.
    pub fn take<'a>(
        &mut self,
        message: &Message,
        places: &[Place],
        newest: impl Iterator<Item = &'a Still>,
    ) {
        let known = self.entries.iter().rposition(|entry| entry.event == message.event);
        let index = known.unwrap_or_else(|| {
            self.entries.push_back(Entry {
                event: message.event.clone(),
                phase: message.phase,
                cause: presentable(&message.cause),
                started_ms: message.started_ms,
                said_ms: message.at.mono_ms,
                peak: None,
            });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        entry.phase = message.phase;
        entry.cause = presentable(&message.cause);
        entry.said_ms = message.at.mono_ms;
        newest.for_each(|still| consider(entry, still, places));
        while self.entries.len() > MOST {
            self.entries.pop_front();
        }
        let with_frame = self.entries.iter_mut().rev().filter(|entry| entry.peak.is_some());
        with_frame.skip(WITH_FRAME).for_each(|entry| entry.peak = None);
    }

    /// Shows a scored frame to the events that go on.
    pub fn scored(&mut self, still: &Still, places: &[Place]) {
        self.entries.iter_mut().for_each(|entry| consider(entry, still, places));
    }

    /// Whether an unusual event goes on.
    pub fn is_unusual(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_on() && matches!(entry.cause, Cause::Unusual(_)))
    }

    /// The camera fault that goes on.
    pub fn fault(&self, now: Stamp) -> Option<FaultStatus> {
        self.entries.iter().rev().filter(|entry| entry.is_on()).find_map(|entry| {
            let Cause::CameraFault(fault) = &entry.cause else { return None };
            let age_s = seconds(entry.started_ms, now.mono_ms);
            Some(FaultStatus { fault: fault.fault, why: fault.why.clone(), age_s })
        })
    }

    /// The newest `most`, newest first.
    pub fn status(&self, now: Stamp, most: usize) -> Vec<EventStatus> {
        let newest = self.entries.iter().rev().take(most);
        let status = newest.map(|entry| EventStatus {
            event: entry.event.clone(),
            phase: entry.phase,
            age_s: seconds(entry.started_ms, now.mono_ms),
            length_s: seconds(entry.started_ms, entry.ended_ms(now.mono_ms)),
            frame: entry.peak.as_ref().map(|still| still.number),
            cause: entry.cause.clone(),
        });
        status.collect()
    }

    /// What touches the time since `since_ms`.
    pub fn bands(&self, since_ms: u64, places: &[Place]) -> Vec<Band> {
        let touching =
            self.entries.iter().filter(|entry| entry.is_on() || entry.said_ms >= since_ms);
        let bands = touching.map(|entry| {
            let (kind, label) = match &entry.cause {
                Cause::Unusual(unusual) => {
                    let region = if places.len() > 1 { &unusual.region } else { "" };
                    let class = class_name(unusual.nearest.as_deref());
                    (BandKind::Unusual, class.unwrap_or(region).to_string())
                }
                Cause::CameraFault(fault) => {
                    let name = crate::metrics::fault_name(fault.fault).replace('_', " ");
                    (BandKind::CameraFault, name)
                }
                Cause::Drift(drift) => (BandKind::Drift, drift.region.clone()),
            };
            let to_ms = (!entry.is_on()).then_some(entry.said_ms);
            Band { event: entry.event.clone(), kind, label, from_ms: entry.started_ms, to_ms }
        });
        bands.collect()
    }

    /// The kept frame of an unusual event that goes on.
    pub fn peak_of_running(&self) -> Option<&Still> {
        self.entries.iter().rev().find(|entry| entry.is_on() && entry.peak.is_some())?.peak.as_ref()
    }

    /// A kept frame by its number.
    pub fn find(&self, number: u64) -> Option<&Still> {
        let mut peaks = self.entries.iter().filter_map(|entry| entry.peak.as_ref());
        peaks.find(|still| still.number == number)
    }

    /// Drops the oldest event's frame.
    pub fn drop_oldest(&mut self) -> bool {
        let oldest = self.entries.iter_mut().find(|entry| entry.peak.is_some());
        oldest.is_some_and(|entry| entry.peak.take().is_some())
    }

    /// Bytes of the kept frames.
    pub fn bytes(&self) -> usize {
        let peaks = self.entries.iter().filter_map(|entry| entry.peak.as_ref());
        peaks.map(|still| still.frame.bytes()).sum()
    }
}

/// Without passwords, which may stand in what a source says of its trouble.
fn presentable(cause: &Cause) -> Cause {
    let mut cause = cause.clone();
    if let Cause::CameraFault(fault) = &mut cause {
        fault.why = without_passwords(&fault.why);
    }
    cause
}

/// Makes `still` the peak of a running unusual event if it is more unusual in the event's region.
fn consider(entry: &mut Entry, still: &Still, places: &[Place]) {
    let Cause::Unusual(unusual) = &entry.cause else { return };
    if !entry.is_on() || still.at.mono_ms < entry.started_ms {
        return;
    }
    let region = places.iter().position(|place| place.name == unusual.region);
    let energy = |still: &Still| {
        let said = region.and_then(|region| still.regions.get(region));
        said.map_or(f64::NEG_INFINITY, |said| said.energy)
    };
    if entry.peak.as_ref().is_none_or(|peak: &Still| energy(still) > energy(peak)) {
        entry.peak = Some(still.clone());
    }
}
