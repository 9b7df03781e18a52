//! The configuration of a device: one TOML file, and the environment over it.
//!
//! All problems are found at once and named with file, line and column. Reading touches nothing but the file: whether
//! folders, devices and certificates are there is found out by who uses them.

use std::path::Path;

mod change;
mod check;
mod document;
mod error;
mod given;
mod keys;
mod kind;
mod mask;
mod nearest;
mod read;
mod schema;
pub mod settings;
mod show;
mod syntax;
mod unknown;
mod url;
mod value;

pub use change::{Change, Reload};
pub use document::variable;
pub use error::{ConfigError, ConfigErrorKind, Place, Problem};
pub use read::{Explained, environment};
pub use show::{Known, known};

use settings::*;
pub use settings::{CameraSettings, LearnSettings, LogLevel, LogSettings, ModelSettings};

/// The file that `oddsight config init` writes: every key, with a comment.
pub const INIT: &str = include_str!("config/init.toml");

/// A configuration whose values make sense together. `Default` is what [`INIT`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What the device calls itself.
    pub device: String,
    pub model: ModelSettings,
    pub camera: CameraSettings,
    pub quality: QualitySettings,
    pub gate: GateSettings,
    /// One at least.
    pub regions: Vec<RegionSettings>,
    pub pace: PaceSettings,
    pub alarm: AlarmSettings,
    pub drift: DriftSettings,
    pub learn: LearnSettings,
    /// Outlets: what has no folder, or is not here, is not done.
    pub journal: JournalSettings,
    pub evidence: EvidenceSettings,
    pub gpio: Vec<GpioSettings>,
    pub mqtt: Option<MqttSettings>,
    pub webhooks: Vec<WebhookSettings>,
    pub hooks: Vec<HookSettings>,
    pub http: Option<HttpSettings>,
    pub log: LogSettings,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            journal: JournalSettings {
                dir: Some("/var/lib/oddsight/journal".into()),
                ..JournalSettings::default()
            },
            evidence: EvidenceSettings {
                dir: Some("/var/lib/oddsight/evidence".into()),
                ..EvidenceSettings::default()
            },
            http: Some(HttpSettings::default()),
            ..Config::without_outlets()
        }
    }
}

impl Config {
    /// What holds where a file says nothing.
    pub fn without_outlets() -> Config {
        Config {
            device: host_name(),
            model: ModelSettings::default(),
            camera: CameraSettings::default(),
            quality: QualitySettings::default(),
            gate: GateSettings::default(),
            regions: vec![RegionSettings::default()],
            pace: PaceSettings::default(),
            alarm: AlarmSettings::default(),
            drift: DriftSettings::default(),
            learn: LearnSettings::default(),
            journal: JournalSettings::default(),
            evidence: EvidenceSettings::default(),
            gpio: Vec::new(),
            mqtt: None,
            webhooks: Vec::new(),
            hooks: Vec::new(),
            http: None,
            log: LogSettings::default(),
        }
    }

    /// One of each section, with its defaults.
    fn complete() -> Config {
        let config = Config::default();
        Config {
            gpio: vec![GpioSettings::default()],
            mqtt: Some(schema::example_mqtt(&config.device)),
            webhooks: vec![schema::example_webhook()],
            hooks: vec![schema::example_hook()],
            ..config
        }
    }

    /// Reads the file and lays the environment over it; warnings are logged.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load(path: &Path, env: &[(String, String)]) -> Result<Config, ConfigError> {
        let explained = Explained::load(path, env)?;
        for warning in explained.warnings() {
            log::warn!("{warning}");
        }
        Ok(explained.config)
    }

    /// The same for a file's text; `path` is only named in messages. Of `env`, variables that begin with `ODDSIGHT_` are
    /// looked at, and those of systemd. Takes no time that grows faster than the text, and never panics.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, env: &[(String, String)]) -> Result<Config, ConfigError> {
        Explained::parse(text, path, env).map(|explained| explained.config)
    }
}

/// Longest name of a host that is taken over.
const LONGEST_NAME: usize = 64;

/// The host's name, as far as it can name a device.
fn host_name() -> String {
    #[cfg(target_os = "linux")]
    let uname = rustix::system::uname();
    #[cfg(target_os = "linux")]
    let name = uname.nodename().to_string_lossy().into_owned();
    #[cfg(not(target_os = "linux"))]
    let name = String::new();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String =
        name.chars().take(LONGEST_NAME).map(|c| if fits(c) { c } else { '-' }).collect();
    if name.is_empty() { "oddsight".into() } else { name }
}
