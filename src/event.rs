//! From verdicts to events: a few unusual frames close together are one event, with a start, updates and an end.
//!
//! [`Decisions`] joins the parts: [`Decider`] per region, [`FaultDecider`] for the camera, [`DriftTest`] per region,
//! [`Budget`] and [`HoldOff`] for all. None of them reads a clock. `docs/events.md` has the rules in words.

mod budget;
mod debounce;
mod decider;
mod decisions;
mod drift;
mod fault;
pub mod odds;
pub mod replay;
pub mod tiles;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::{Stamp, boot_id};

pub use budget::{Budget, DAY_MS, HoldOff};
pub use debounce::{Alarm, Debounce, Level, MOST_WINDOW, Rule};
pub use decider::{AlarmSettings, Decider};
pub use decisions::{Decisions, Memory, Rules, Tally};
pub use drift::{DriftSettings, DriftState, DriftTest};
pub use fault::{FaultDecider, FaultRule};

/// What is said to the world: one of the three messages of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same for all messages of an event.
    pub event: EventId,
    pub phase: Phase,
    /// Counts the messages of a boot, from 0.
    pub seq: u64,
    /// Which boot of the machine `seq` and `mono_ms` belong to.
    pub boot_id: String,
    /// When this message was made.
    #[serde(flatten)]
    pub at: Stamp,
    /// When the event's first frame was taken, monotonic milliseconds.
    pub started_ms: u64,
    /// What the device calls itself.
    pub device: String,
    #[serde(flatten)]
    pub cause: Cause,
    /// State of the machine when the message was made.
    pub machine: Machine,
}

/// Names an event: unique on a device across boots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

/// A message of an event before it has a name and a place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub phase: Phase,
    /// As [`Message::started_ms`].
    pub started_ms: u64,
    pub cause: Cause,
}

impl Message {
    /// Whether it is about an alarm that people and lamps are to be told of, not a fault, a drift, or an event beyond the
    /// budget.
    pub fn is_alarm(&self) -> bool {
        matches!(&self.cause, Cause::Unusual(unusual) if !unusual.suppressed)
    }

    /// Whether it is about an event beyond the budget: it is written down, and nobody is told.
    pub fn is_suppressed(&self) -> bool {
        matches!(&self.cause, Cause::Unusual(unusual) if unusual.suppressed)
    }
}

impl EventId {
    /// The `number`th event of this boot.
    pub fn new(number: u64) -> EventId {
        let boot = &boot_id()[..boot_id().len().min(8)];
        EventId(format!("{boot}-{number:06}"))
    }

    /// Which event of its boot.
    pub fn number(&self) -> Option<u64> {
        self.0.rsplit_once('-')?.1.parse().ok()
    }

    /// The name, which is safe as a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which message of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Start,
    Update,
    End,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Frames unlike anything that was taught.
    Unusual(Unusual),
    /// The camera gives no frames, or none that show anything.
    CameraFault(Fault),
    /// Normal frames are slowly becoming others; never an alarm.
    Drift(Drift),
}

/// The frames of an unusual event so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unusual {
    /// Name of the region of interest.
    pub region: String,
    /// Scored frames since the start.
    pub frames: u64,
    /// Of those, unusual ones.
    pub unusual_frames: u64,
    /// Energy of this message's frame.
    pub energy: f64,
    pub p_value: f64,
    /// The largest energy since the start, and its p-value.
    pub peak_energy: f64,
    pub peak_p_value: f64,
    /// Nearest class of the peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Beyond the day's alarm budget: for the journal, not for people and lamps.
    #[serde(default)]
    pub suppressed: bool,
}

/// Why frames cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub fault: FaultKind,
    /// For people.
    pub why: String,
    /// Faulty frames, or attempts to open the camera, since the start.
    pub count: u64,
}

/// The kinds of camera faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The camera cannot be opened, or went away.
    Lost,
    /// It is there, but no frame came in time.
    Stalled,
    /// A frame ends early.
    Truncated,
    /// A frame is no picture.
    Undecodable,
    /// The same picture again and again.
    Frozen,
    /// Nothing but dark.
    Black,
    /// Nothing but light.
    Saturated,
    /// Another size than the one that was promised.
    WrongSize,
}

/// A change of what is normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    pub region: String,
    /// Evidence against "energies come from where calibration came from", as a betting gain: 100 is 100 to 1.
    pub evidence: f64,
    /// Mean p-value of the last day's frames that were tested: below 0.5 where energies have risen, above where they
    /// have fallen.
    pub mean_p_value: f64,
    /// How many frames of the last day were tested.
    pub frames: u64,
}

/// State of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Of the hottest thermal zone, °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f32>,
    /// The Raspberry Pi firmware's throttling bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u32>,
}
