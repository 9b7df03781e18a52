//! What each section of the configuration holds. `Default` is what `oddsight config init` writes.

use std::path::PathBuf;

use crate::camera::SourceUri;
use crate::kernel::Kernel;
use crate::model::store::PublicKey;
use crate::verdict::Alpha;

pub use crate::event::{AlarmSettings, DriftSettings};
pub use crate::gate::{GateSettings, PaceSettings, QualitySettings, RegionSettings};
pub use crate::gpio::{Backend, Level};
pub use crate::http::HttpSettings;
pub use crate::sink::evidence::EvidenceSettings;
pub use crate::sink::gpio::{GpioSettings, Mode, Trigger};
pub use crate::sink::hook::HookSettings;
pub use crate::sink::journal::{Fsync, JournalSettings};
pub use crate::sink::mqtt::{BrokerUrl, MqttSettings};
pub use crate::sink::outbox::OutboxSettings;
pub use crate::sink::webhook::{WebUrl, WebhookSettings};

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
    pub public_key: Option<PublicKey>,
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
    SourceUri::Synth { seed: 1, fps: Some(10) }
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
        LearnSettings {
            dir: None,
            minutes: 10.0,
            button_line: None,
            button_chip: "/dev/gpiochip0".into(),
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

impl LogLevel {
    /// For the logger.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
        }
    }
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: LogLevel::Info }
    }
}
