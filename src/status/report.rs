//! What a reader is told: everything at one moment, ready to be serialised.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::health::Health;
use crate::clock::Stamp;
use crate::event::{Cause, EventId, FaultKind, Machine, Phase};
use crate::model::{Model, Scorer};
use crate::verdict::Verdict;

/// What stays the same until the configuration or the model is replaced.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// What the device calls itself.
    pub device: String,
    /// Where frames come from, for people; a password in it is hidden when a [`super::Board`] takes it.
    pub source: String,
    /// Frames come by themselves: silence is a failure.
    pub live: bool,
    pub model: ModelCard,
    /// At least one; verdicts come in this order.
    pub regions: Vec<Place>,
}

/// The model in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelCard {
    pub name: String,
    /// False-alarm rate per frame.
    pub alpha: f64,
    /// Energy that a frame must exceed to be unusual; none can at this alpha if it is missing.
    pub threshold: Option<f64>,
    /// Middle of the calibration energies.
    pub median: f64,
    /// Number of calibration frames.
    pub calibration: usize,
    /// Heads that make up the energy.
    pub heads: Vec<&'static str>,
    /// Which kernels run the network.
    pub kernel: String,
}

impl ModelCard {
    /// Describes a model as `scorer` uses it.
    pub fn new(name: &str, model: &Model, scorer: &Scorer) -> ModelCard {
        let plain = |q16: i64| q16 as f64 / 65_536.0;
        let energies = model.calibration().energies_q16();
        let heads = &model.blob().heads;
        ModelCard {
            name: name.into(),
            alpha: scorer.alpha().get(),
            threshold: Some(scorer.threshold_q16()).filter(|&t| t != i64::MAX).map(plain),
            median: plain(energies[energies.len() / 2]),
            calibration: energies.len(),
            heads: heads
                .composition
                .terms()
                .iter()
                .map(|t| heads.heads[t.head()].id().name())
                .collect(),
            kernel: model.backbone().kernel().to_string(),
        }
    }

    /// The smallest p-value that the calibration can give.
    pub fn smallest_p(&self) -> f64 {
        1.0 / (self.calibration + 1) as f64
    }
}

/// A region of interest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    pub name: String,
    /// x, y, width and height as shares of the picture.
    pub at: [f64; 4],
}

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Version of oddsight.
    pub version: &'static str,
    /// Names this run of the program; numbers of frames start over with another one.
    pub run: String,
    /// The moment.
    #[serde(flatten)]
    pub at: Stamp,
    pub uptime_s: f64,
    #[serde(flatten, serialize_with = "shared")]
    pub identity: Arc<Identity>,
    pub health: Health,
    pub camera: CameraStatus,
    pub scoring: ScoringStatus,
    /// The last scored frame; none before the first.
    pub frame: Option<FrameStatus>,
    /// Newest first.
    pub events: Vec<EventStatus>,
    /// Frames of the last two minutes: the most unusual of each ten seconds, newest first.
    pub strip: Vec<FrameStatus>,
    pub sinks: Vec<SinkStatus>,
    pub storage: Vec<StorageStatus>,
    pub drift: Vec<DriftStatus>,
    pub machine: Machine,
    /// Memory that the program occupies.
    pub rss_bytes: Option<u64>,
}

fn shared<S: Serializer>(identity: &Identity, serializer: S) -> Result<S::Ok, S::Error> {
    identity.serialize(serializer)
}

/// How the camera does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraStatus {
    /// Frames per second that it gave in the last ten seconds, scored or not.
    pub fps: f64,
    /// The fault that is going on.
    pub fault: Option<FaultStatus>,
    /// The last faulty frame or failed attempt, whether or not it became an event.
    pub last_fault: Option<FaultStatus>,
}

/// A camera fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultStatus {
    pub fault: FaultKind,
    pub why: String,
    /// How long ago it began or was seen.
    pub age_s: f64,
}

/// How fast frames are scored, and what came of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoringStatus {
    /// Scored frames per second of the last ten seconds.
    pub fps: f64,
    /// What the last frame took from picture to verdict.
    pub last_ms: Option<f64>,
    /// Mean of the same since the start.
    pub mean_ms: Option<f64>,
    pub last_hour_frames: u64,
    pub last_hour_unusual: u64,
    /// Alarms since the start.
    pub alarms: u64,
}

/// A frame and what was said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameStatus {
    /// Number among the scored frames of this run: `?frame=N` of `/snapshot.jpg`.
    pub number: u64,
    /// What the source calls it.
    pub name: String,
    pub age_s: f64,
    pub regions: Vec<Said>,
}

impl FrameStatus {
    /// The most unusual region, by its index.
    pub fn worst(&self) -> Option<(usize, &Said)> {
        worst(&self.regions)
    }
}

/// The region of the largest energy, the first of several.
pub(super) fn worst(regions: &[Said]) -> Option<(usize, &Said)> {
    let reversed = regions.iter().enumerate().rev();
    reversed.max_by(|(_, a), (_, b)| a.energy.total_cmp(&b.energy))
}

/// The nearest class, if it has a name of its own: models that were taught without classes have numbered components.
pub fn class_name(nearest: Option<&str>) -> Option<&str> {
    nearest.filter(|name| !name.starts_with("component "))
}

/// What was said of a region of a frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    pub energy: f64,
    pub p_value: f64,
    pub unusual: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Each composed head and its part of the energy; an object in JSON.
    #[serde(serialize_with = "object")]
    pub heads: Vec<(&'static str, f64)>,
}

fn object<S: Serializer>(heads: &[(&str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(heads.iter().copied())
}

impl From<&Verdict> for Said {
    fn from(verdict: &Verdict) -> Said {
        let shares = verdict.heads.iter();
        Said {
            energy: verdict.energy,
            p_value: verdict.p_value,
            unusual: verdict.unusual,
            nearest: verdict.nearest.clone(),
            heads: shares.filter_map(|head| Some((head.id.name(), head.share?))).collect(),
        }
    }
}

/// An event as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventStatus {
    pub event: EventId,
    /// Of its last message.
    pub phase: Phase,
    pub age_s: f64,
    /// How long it lasted, or has lasted so far.
    pub length_s: f64,
    /// Number of the kept frame with the largest energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    #[serde(flatten)]
    pub cause: Cause,
}

impl EventStatus {
    /// Whether no end was said yet.
    pub fn is_on(&self) -> bool {
        self.phase != Phase::End
    }
}

/// How a receiver of events does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SinkStatus {
    pub name: String,
    pub delivered: u64,
    /// Given up: the queue was full, the rate was exceeded, or the receiver refused.
    pub dropped: u64,
    /// Attempts that failed.
    pub failed: u64,
    pub queued: u64,
    /// Why the last attempt failed, until one succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How full a store is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StorageStatus {
    /// `evidence`, `journal`.
    pub name: String,
    pub used_bytes: u64,
    /// Most that it may take.
    pub quota_bytes: u64,
    /// What its file system has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Why nothing is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far what is normal has moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftStatus {
    pub region: String,
    /// As a betting gain: 100 is 100 to 1.
    pub evidence: f64,
    pub mean_p_value: f64,
}
