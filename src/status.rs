//! What the box is doing, for those who look from outside.
//!
//! The main loop writes to a [`Board`], in microseconds a call; readers take a copy of what they need and do their
//! work without holding anything up: pictures are shared and are only encoded when somebody asks for one.

mod events;
mod health;
mod history;
mod rate;
mod reel;
mod report;
mod source;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::camera::Frame;
use crate::clock::Stamp;
use crate::event::{FaultKind, Machine, Message, Phase};
use crate::metrics::{FrameResult, Metrics};
use crate::verdict::Verdict;

pub use events::{Band, BandKind};
pub use health::{HOT_C, Health, Level, Problem, State, length};
pub use history::{Bucket, FULL_MS, Grain, Part, Point};
pub use reel::Still;
pub use report::{
    CameraStatus, DriftStatus, EventStatus, FaultStatus, FrameStatus, Identity, ModelCard, Place,
    Said, ScoringStatus, SinkStatus, Status, StorageStatus, class_name,
};
pub use source::without_passwords;

/// Most bytes of kept frames beside the newest ones.
const STILLS_BYTES: usize = 8 << 20;
/// Events in a [`Status`].
const EVENTS: usize = 12;

/// Shared by the main loop, which writes, and everybody who looks.
#[derive(Debug)]
pub struct Board {
    started: Stamp,
    run: String,
    metrics: Metrics,
    now: Mutex<Now>,
}

/// What the lock protects. No holder does more than to copy, so no writer waits for longer than that.
#[derive(Debug)]
struct Now {
    identity: Arc<Identity>,
    /// Scored frames so far.
    scored: u64,
    scored_at: Option<Stamp>,
    took: Option<Duration>,
    history: history::History,
    reel: reel::Reel,
    events: events::Events,
    camera_rate: rate::Rate,
    scored_rate: rate::Rate,
    last_fault: Option<(Stamp, FaultKind, String)>,
    sinks: Vec<SinkStatus>,
    storage: Vec<StorageStatus>,
    drift: Vec<DriftStatus>,
    model_trouble: Option<String>,
    learning: Option<String>,
    machine: Machine,
    rss_bytes: Option<u64>,
}

impl Board {
    /// A board of a program that started at `started`.
    pub fn new(identity: Identity, started: Stamp) -> Board {
        let run = format!("{}-{:x}", crate::clock::boot_id(), started.mono_ms);
        let now = Now {
            identity: Arc::new(presentable(identity)),
            scored: 0,
            scored_at: None,
            took: None,
            history: history::History::new(),
            reel: reel::Reel::default(),
            events: events::Events::default(),
            camera_rate: rate::Rate::default(),
            scored_rate: rate::Rate::default(),
            last_fault: None,
            sinks: Vec::new(),
            storage: Vec::new(),
            drift: Vec::new(),
            model_trouble: None,
            learning: None,
            machine: Machine::default(),
            rss_bytes: None,
        };
        Board { started, run, metrics: Metrics::default(), now: Mutex::new(now) }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // Whoever panicked left at worst a value from a moment ago.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters; any thread may raise them.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Another model or another configuration is in use from now on.
    pub fn identify(&self, identity: Identity) {
        let identity = Arc::new(presentable(identity));
        let mut now = self.now();
        now.drift.clear();
        now.identity = identity;
    }

    /// A frame was scored: one verdict for each region, in their order.
    pub fn scored(&self, at: Stamp, frame: &Arc<Frame>, verdicts: &[Verdict], took: Duration) {
        let regions: Arc<[Said]> = verdicts.iter().map(Said::from).collect();
        self.metrics.frame(FrameResult::Scored);
        self.metrics.inference(took);
        if regions.iter().any(|said| said.unusual) {
            self.metrics.unusual_frame();
        }
        let mut guard = self.now();
        let now = &mut *guard;
        if let Some((region, said)) = report::worst(&regions) {
            now.history.push(Point {
                mono_ms: at.mono_ms,
                energy: said.energy as f32,
                p_value: said.p_value as f32,
                region: region as u16,
                unusual: said.unusual,
            });
        }
        let still = Still { number: now.scored, at, frame: frame.clone(), regions };
        now.scored += 1;
        now.scored_at = Some(at);
        now.took = Some(took);
        now.camera_rate.count(at.mono_ms);
        now.scored_rate.count(at.mono_ms);
        now.events.scored(&still, &now.identity.regions);
        now.reel.push(&still);
        now.trim();
    }

    /// A frame came and was not scored. Faulty ones are told by [`Board::fault`].
    pub fn passed(&self, at: Stamp, result: FrameResult) {
        self.metrics.frame(result);
        self.now().camera_rate.count(at.mono_ms);
    }

    /// A frame was faulty, or an attempt to open the camera failed.
    pub fn fault(&self, at: Stamp, kind: FaultKind, why: &str) {
        self.metrics.fault(kind);
        let is_frame = !matches!(kind, FaultKind::Lost | FaultKind::Stalled);
        if is_frame {
            self.metrics.frame(FrameResult::Faulty);
        }
        let why = without_passwords(why);
        let mut now = self.now();
        if is_frame {
            now.camera_rate.count(at.mono_ms);
        }
        now.last_fault = Some((at, kind, why));
    }

    /// A message was made; [`Board::scored`] has seen the frame that it was made for.
    pub fn event(&self, message: &Message) {
        if message.phase == Phase::Start {
            self.metrics.event();
            if message.is_alarm() {
                self.metrics.alarm();
            }
        }
        let mut guard = self.now();
        let now = &mut *guard;
        now.events.take(message, &now.identity.regions, now.reel.newest());
        now.trim();
    }

    /// State of the machine, and the memory that the program occupies.
    pub fn machine(&self, machine: Machine, rss_bytes: Option<u64>) {
        let mut now = self.now();
        now.machine = machine;
        now.rss_bytes = rss_bytes;
    }

    /// State of all receivers of events.
    pub fn sinks(&self, mut sinks: Vec<SinkStatus>) {
        for sink in &mut sinks {
            sink.trouble = sink.trouble.as_deref().map(without_passwords);
        }
        self.now().sinks = sinks;
    }

    /// State of all stores.
    pub fn storage(&self, storage: Vec<StorageStatus>) {
        self.now().storage = storage;
    }

    /// State of the tests for drift, one for each region that is tested.
    pub fn drift(&self, drift: Vec<DriftStatus>) {
        self.now().drift = drift;
    }

    /// What is wrong with a model that is not used for it.
    pub fn model_trouble(&self, trouble: Option<String>) {
        self.now().model_trouble = trouble;
    }

    /// How far learning in place is, while it goes on.
    pub fn learning(&self, progress: Option<String>) {
        self.now().learning = progress;
    }

    /// Everything at `at`. Health fails when no frame was scored for longer than `stale`.
    pub fn status(&self, at: Stamp, stale: Duration) -> Status {
        let times = self.metrics.inference_times();
        let mut guard = self.now();
        let now = &mut *guard;
        if let Some(last) = now.reel.last().cloned() {
            now.reel.tell(&last);
        }
        if let Some(peak) = now.events.peak_of_running() {
            now.reel.tell(peak);
        }
        now.trim();
        let (last_hour_frames, last_hour_unusual) = now.history.last_hour();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            run: self.run.clone(),
            at,
            uptime_s: reel::seconds(self.started.mono_ms, at.mono_ms),
            identity: now.identity.clone(),
            health: self.judge(now, at, stale),
            camera: CameraStatus {
                fps: now.camera_rate.per_second(at.mono_ms),
                fault: now.events.fault(at),
                last_fault: now.last_fault.as_ref().map(|(seen, fault, why)| FaultStatus {
                    fault: *fault,
                    why: why.clone(),
                    age_s: reel::seconds(seen.mono_ms, at.mono_ms),
                }),
            },
            scoring: ScoringStatus {
                fps: now.scored_rate.per_second(at.mono_ms),
                last_ms: now.took.map(|took| took.as_secs_f64() * 1000.0),
                mean_ms: (times.count > 0).then(|| times.sum_s * 1000.0 / times.count as f64),
                last_hour_frames,
                last_hour_unusual,
                alarms: self.metrics.alarms(),
            },
            frame: now.reel.last().map(|still| still.status(at)),
            events: now.events.status(at, EVENTS),
            strip: now.reel.strip().map(|still| still.status(at)).collect(),
            sinks: now.sinks.clone(),
            storage: now.storage.clone(),
            drift: now.drift.clone(),
            machine: now.machine,
            rss_bytes: now.rss_bytes,
        }
    }

    /// Whether the box works; the same as in [`Board::status`].
    pub fn health(&self, at: Stamp, stale: Duration) -> Health {
        self.judge(&self.now(), at, stale)
    }

    fn judge(&self, now: &Now, at: Stamp, stale: Duration) -> Health {
        let fault = now.events.fault(at);
        health::judge(&health::Signs {
            now: at,
            live: now.identity.live,
            silent_s: reel::seconds(now.scored_at.unwrap_or(self.started).mono_ms, at.mono_ms),
            stale_s: stale.as_secs_f64(),
            scored_any: now.scored_at.is_some(),
            unusual: now.events.is_unusual(),
            fault: fault.as_ref(),
            sinks: &now.sinks,
            storage: &now.storage,
            drift: &now.drift,
            model_trouble: now.model_trouble.as_deref(),
            learning: now.learning.as_deref(),
            machine: now.machine,
        })
    }

    /// What does not change from frame to frame.
    pub fn identity(&self) -> Arc<Identity> {
        self.now().identity.clone()
    }

    /// Names this run of the program.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Energies frame by frame: the frames with numbers from `after` on that are at most `reach_ms` older than the
    /// newest, in order of time.
    pub fn frames(&self, after: u64, reach_ms: u64) -> Part<Point> {
        self.now().history.frames(after, reach_ms)
    }

    /// Energies in buckets: those with numbers from `after` on, in order of time. The number of a bucket is its time
    /// divided by its width.
    pub fn buckets(&self, grain: Grain, after: u64) -> Part<Bucket> {
        self.now().history.buckets(grain, after)
    }

    /// Events that touch the time since `since_ms`.
    pub fn bands(&self, since_ms: u64) -> Vec<Band> {
        let now = self.now();
        now.events.bands(since_ms, &now.identity.regions)
    }

    /// The newest scored frame.
    pub fn last(&self) -> Option<Still> {
        self.now().reel.last().cloned()
    }

    /// A frame by its number, if it is still kept.
    pub fn still(&self, number: u64) -> Option<Still> {
        let now = self.now();
        now.reel.find(number).or_else(|| now.events.find(number)).cloned()
    }
}

impl Now {
    /// Keeps the kept frames within their budget: those of events go last.
    fn trim(&mut self) {
        while self.reel.bytes() + self.events.bytes() > STILLS_BYTES {
            if !self.reel.drop_oldest() && !self.events.drop_oldest() {
                break;
            }
        }
    }
}

/// Hides passwords.
fn presentable(mut identity: Identity) -> Identity {
    identity.source = without_passwords(&identity.source);
    identity
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
