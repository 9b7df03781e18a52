//! What each section of the configuration holds. `Default` is what `oddsight config init` writes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::camera::SourceUri;
use crate::event::Phase;
use crate::kernel::Kernel;
use crate::verdict::Alpha;

/// `[model]`: what is taught, and how it is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// The model directory, or the store that `oddsight model install` keeps.
    pub dir: PathBuf,
    /// Per-frame false-alarm rate; `None` is the model's own.
    pub alpha: Option<Alpha>,
    /// Threads that compute one frame.
    pub threads: u16,
    /// Int8 kernel; `None` is the fastest of the machine.
    pub kernel: Option<Kernel>,
    /// Minisign key that a model must be signed with to be installed; `None` installs unsigned ones.
    pub public_key: Option<String>,
    /// Starts of a new model that may fail before the previous one comes back.
    pub failed_starts: u32,
}

impl Default for ModelSettings {
    fn default() -> ModelSettings {
        ModelSettings {
            dir: "/var/lib/oddsight/model".into(),
            alpha: None,
            threads: 1,
            kernel: None,
            public_key: None,
            failed_starts: 3,
        }
    }
}

/// `[camera]`: where frames come from.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraSettings {
    pub source: SourceUri,
    /// Without a frame for so long the camera is closed and opened again.
    pub stall_ms: u64,
    /// First wait before it is opened again; doubled at each failure.
    pub reopen_ms: u64,
    /// Longest such wait.
    pub reopen_most_ms: u64,
    /// Width and height that frames must have; `None` takes the first frame's.
    pub size: Option<(u32, u32)>,
}

impl Default for CameraSettings {
    fn default() -> CameraSettings {
        CameraSettings {
            source: default_source(),
            stall_ms: 5000,
            reopen_ms: 500,
            reopen_most_ms: 60_000,
            size: None,
        }
    }
}

/// The simulated camera is the one source that every machine has.
fn default_source() -> SourceUri {
    SourceUri::Synth(1)
}

/// `[quality]`: which frames are a fault of the camera.
#[derive(Clone, Debug, PartialEq)]
pub struct QualitySettings {
    /// So many identical frames are a frozen camera; 0 never.
    pub frozen_frames: u32,
    /// A frame is black if its 99th percentile of luma lies below; 0 never.
    pub black: u8,
    /// A frame is saturated if its 1st percentile of luma lies above; 255 never.
    pub saturated: u8,
    /// Faulty frames in a row that start a fault.
    pub bad_frames: u32,
    /// Good frames in a row that end it.
    pub good_frames: u32,
}

impl Default for QualitySettings {
    fn default() -> QualitySettings {
        QualitySettings {
            frozen_frames: 50,
            black: 16,
            saturated: 250,
            bad_frames: 3,
            good_frames: 3,
        }
    }
}

/// `[gate]`: which frames are worth scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSettings {
    /// Mean absolute change of luma, in grey levels, of the part of the frame that changed most, from which on it is
    /// worth scoring; 0 scores all.
    pub change: f64,
    /// One frame in so many seconds is scored whatever happens.
    pub floor_s: u64,
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings { change: 0.0, floor_s: 10 }
    }
}

/// `[[region]]`: a part of the frame that is judged on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionSettings {
    pub name: String,
    /// Left, top, width and height as shares of the frame.
    pub at: [f64; 4],
    /// Columns and rows that it is cut into.
    pub tiles: [u32; 2],
}

impl Default for RegionSettings {
    /// The whole frame.
    fn default() -> RegionSettings {
        RegionSettings { name: "frame".into(), at: [0.0, 0.0, 1.0, 1.0], tiles: [1, 1] }
    }
}

/// `[pace]`: how many frames are scored.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceSettings {
    /// Frames that are scored each second at most; 0 is no limit.
    pub max_fps: f64,
    /// From this temperature on `hot_fps` holds, °C.
    pub hot_c: f64,
    /// 0 is no limit.
    pub hot_fps: f64,
}

impl Default for PaceSettings {
    fn default() -> PaceSettings {
        PaceSettings { max_fps: 10.0, hot_c: 75.0, hot_fps: 1.0 }
    }
}

/// `[alarm]`: when unusual frames become an event.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmSettings {
    /// So many unusual frames among the last `window` start an event.
    pub raise: u32,
    pub window: u32,
    /// A frame that is not unusual and has a larger p-value is clearly normal.
    pub clear_p: f64,
    /// So many clearly normal frames in a row end an event.
    pub clear_frames: u32,
    /// Shortest length of an event, s.
    pub min_s: f64,
    /// Pause after an event in which the same region starts none, s.
    pub cooldown_s: u64,
    /// Events a day of all regions together that are alarms; 0 is no limit.
    pub budget_per_day: u32,
    /// Time between the update messages of an event, s; 0 sends none.
    pub update_s: u64,
    /// A jump of the frame's mean luma by so many grey levels is a change of light; 0 never.
    pub light_change: u8,
    /// After it no event starts for so long, s.
    pub light_holdoff_s: u64,
}

impl Default for AlarmSettings {
    fn default() -> AlarmSettings {
        AlarmSettings {
            raise: 3,
            window: 5,
            clear_p: 0.2,
            clear_frames: 5,
            min_s: 0.0,
            cooldown_s: 60,
            budget_per_day: 0,
            update_s: 10,
            light_change: 40,
            light_holdoff_s: 20,
        }
    }
}

/// `[drift]`: the slow change of what is normal.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    pub enabled: bool,
    /// Time between the frames that are tested, s: neighbours are too alike to be evidence.
    pub every_s: u64,
    /// Betting gain against "nothing drifts" that is reported.
    pub evidence: f64,
}

impl Default for DriftSettings {
    fn default() -> DriftSettings {
        DriftSettings { enabled: true, every_s: 60, evidence: 1000.0 }
    }
}

/// `[journal]`: events and scores as lines of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalSettings {
    /// Folder of the segments; `None` keeps no journal.
    pub dir: Option<PathBuf>,
    /// Size of a segment, MB.
    pub segment_mb: u64,
    /// Size of all segments, MB.
    pub most_mb: u64,
    /// Whether scores are kept too, not only messages.
    pub scores: bool,
    pub fsync: Fsync,
}

/// When the journal is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// After each message.
    Message,
    /// When the system likes.
    Never,
}

impl Default for JournalSettings {
    fn default() -> JournalSettings {
        JournalSettings {
            dir: Some("/var/lib/oddsight/journal".into()),
            segment_mb: 4,
            most_mb: 256,
            scores: true,
            fsync: Fsync::Message,
        }
    }
}

/// `[evidence]`: frames of events.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceSettings {
    /// Folder of the events; `None` keeps no evidence.
    pub dir: Option<PathBuf>,
    /// Size of all evidence, MB.
    pub quota_mb: u64,
    /// Space of the file system that stays free, MB.
    pub free_mb: u64,
    /// Seconds and megabytes of frames from before an event, which wait in memory.
    pub before_s: f64,
    pub before_mb: u64,
    /// Seconds of frames from after an event.
    pub after_s: f64,
    /// Time between the frames that are kept during an event, s.
    pub every_s: f64,
    /// Frames of an event.
    pub most_frames: u32,
    /// Nothing is written unless something is mounted here.
    pub require_mount: Option<PathBuf>,
}

impl Default for EvidenceSettings {
    fn default() -> EvidenceSettings {
        EvidenceSettings {
            dir: Some("/var/lib/oddsight/evidence".into()),
            quota_mb: 1024,
            free_mb: 512,
            before_s: 3.0,
            before_mb: 16,
            after_s: 5.0,
            every_s: 1.0,
            most_frames: 60,
            require_mount: None,
        }
    }
}

/// `[[gpio]]`: an output line that shows whether there is an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct GpioSettings {
    pub backend: Backend,
    /// The chip's device or label, for `gpiocdev`.
    pub chip: PathBuf,
    /// Line of the chip; on a Raspberry Pi the BCM number.
    pub line: u32,
    /// Level that means alarm.
    pub active: Level,
    pub mode: Mode,
    /// Length of a pulse.
    pub pulse_ms: u64,
    /// Level at start, at the end and when nobody is in charge.
    pub safe: Level,
    /// What the line shows.
    pub on: Vec<Trigger>,
}

/// What drives the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `Rppal` on a Raspberry Pi that it knows, `Gpiocdev` elsewhere.
    Auto,
    Rppal,
    Gpiocdev,
    /// A file that holds the level.
    Sim(PathBuf),
}

/// A level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    High,
    Low,
}

/// How a line shows an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Active for as long as the event.
    Hold,
    /// Active for `pulse_ms` at its start.
    Pulse,
}

/// Events that a line shows. Drift is never an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Unusual,
    CameraFault,
}

impl Default for GpioSettings {
    fn default() -> GpioSettings {
        GpioSettings {
            backend: Backend::Auto,
            chip: default_chip(),
            line: 17,
            active: Level::High,
            mode: Mode::Hold,
            pulse_ms: 500,
            safe: Level::Low,
            on: vec![Trigger::Unusual],
        }
    }
}

fn default_chip() -> PathBuf {
    "/dev/gpiochip0".into()
}

/// `[learn]`: learning on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnSettings {
    /// Where learnt models go; `None` learns nothing.
    pub dir: Option<PathBuf>,
    /// How long it watches.
    pub minutes: f64,
    /// Input line whose button starts it.
    pub button_line: Option<u32>,
    pub button_chip: PathBuf,
}

impl Default for LearnSettings {
    fn default() -> LearnSettings {
        LearnSettings { dir: None, minutes: 10.0, button_line: None, button_chip: default_chip() }
    }
}

/// What waits in front of an outlet: `queue` and `per_minute` of `[mqtt]`, `[[webhook]]` and `[[hook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Messages that wait at most.
    pub queue: usize,
    /// Messages that are sent in a minute at most; 0 is no limit.
    pub per_minute: u32,
    /// Pause after a failure; doubled with each further one. No key.
    pub retry_ms: u64,
    /// Longest such pause. No key.
    pub retry_most_ms: u64,
}

impl Default for OutboxSettings {
    fn default() -> OutboxSettings {
        OutboxSettings { queue: 64, per_minute: 30, retry_ms: 1000, retry_most_ms: 60_000 }
    }
}

/// `[mqtt]`: messages to a broker.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttSettings {
    /// `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    pub url: String,
    /// First part of all topics; by default `oddsight/` and the device's name.
    pub prefix: String,
    /// `None` makes one of the machine's id.
    pub client_id: Option<String>,
    pub user: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// Certificates that the broker's must descend from, PEM; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    pub keep_alive_s: u16,
    /// How long a connection may take to be made, and an answer to come.
    pub timeout_ms: u64,
    pub outbox: OutboxSettings,
}

impl MqttSettings {
    /// The defaults for a device.
    pub fn new(device: &str) -> MqttSettings {
        MqttSettings {
            url: "mqtt://localhost:1883".into(),
            prefix: format!("oddsight/{device}"),
            client_id: None,
            user: None,
            password_file: None,
            ca_file: None,
            keep_alive_s: 30,
            timeout_ms: 10_000,
            outbox: OutboxSettings { queue: 256, per_minute: 120, ..OutboxSettings::default() },
        }
    }
}

/// `[[webhook]]`: messages as HTTP requests.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSettings {
    /// `http://…` or `https://…`.
    pub url: String,
    /// File that holds what is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// Certificates that the server's must descend from, PEM; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    pub timeout_ms: u64,
    pub outbox: OutboxSettings,
    /// Which messages of an event are sent.
    pub phases: Vec<Phase>,
}

/// All messages of an event.
pub(super) fn all_phases() -> Vec<Phase> {
    vec![Phase::Start, Phase::Update, Phase::End]
}

impl Default for WebhookSettings {
    fn default() -> WebhookSettings {
        WebhookSettings {
            url: "http://localhost:8000/".into(),
            token_file: None,
            ca_file: None,
            timeout_ms: 5000,
            outbox: OutboxSettings::default(),
            phases: all_phases(),
        }
    }
}

/// `[[hook]]`: a command for each message, which it reads on its standard input.
#[derive(Clone, Debug, PartialEq)]
pub struct HookSettings {
    /// The program and its arguments; no shell.
    pub command: Vec<String>,
    /// After this it is killed.
    pub timeout_ms: u64,
    pub outbox: OutboxSettings,
    /// Which messages of an event it gets.
    pub phases: Vec<Phase>,
}

impl Default for HookSettings {
    fn default() -> HookSettings {
        HookSettings {
            command: vec!["/usr/local/bin/on-event".into()],
            timeout_ms: 10_000,
            outbox: OutboxSettings::default(),
            phases: all_phases(),
        }
    }
}

/// `[http]`: the status page.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    /// File that holds the token; needed beyond loopback.
    pub token_file: Option<PathBuf>,
    /// Without a scored frame for so long `/healthz` fails, s.
    pub stale_s: u64,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            token_file: None,
            stale_s: 30,
        }
    }
}

/// `[log]`: lines on standard error.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    pub level: LogLevel,
}

/// What is logged: this and what is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Warn,
    Info,
    Debug,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: LogLevel::Info }
    }
}
