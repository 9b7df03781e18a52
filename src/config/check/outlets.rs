//! Where events go.

use std::path::{Component, Path, PathBuf};

use super::{Checks, nth};
use crate::config::Config;
use crate::config::settings::*;
use crate::config::url::Url;

/// Schemes whose URLs were accepted.
const SCHEMES: [&str; 4] = ["mqtt", "mqtts", "http", "https"];

impl Checks<'_, '_> {
    pub(super) fn outlets(&mut self, config: &Config) {
        self.folders(config);
        self.journal(&config.journal);
        if let Some(dir) = &config.evidence.dir {
            self.evidence(&config.evidence, dir);
        }
        for (index, line) in config.gpio.iter().enumerate() {
            self.line(config, index, line);
        }
        if let Some(mqtt) = &config.mqtt {
            self.mqtt(mqtt);
        }
        for (index, webhook) in config.webhooks.iter().enumerate() {
            self.webhook(index, webhook);
        }
        if let Some(http) = &config.http {
            self.http(http);
        }
        let is_mute = config.journal.dir.is_none()
            && config.evidence.dir.is_none()
            && config.gpio.is_empty()
            && config.mqtt.is_none()
            && config.webhooks.is_empty()
            && config.hooks.is_empty()
            && config.http.is_none();
        if is_mute {
            self.warn(
                &["camera.source"],
                "nobody would learn of an event: add [journal], [mqtt], [[gpio]] or another outlet",
            );
        }
    }

    /// Journal and evidence delete what is oldest in their folders: nothing else may be there.
    fn folders(&mut self, config: &Config) {
        let kept = [
            ("journal.dir", config.journal.dir.as_ref()),
            ("evidence.dir", config.evidence.dir.as_ref()),
        ];
        let others =
            [("model.dir", Some(&config.model.dir)), ("learn.dir", config.learn.dir.as_ref())];
        let all: Vec<(&str, PathBuf)> = kept
            .into_iter()
            .chain(others)
            .filter_map(|(key, dir)| Some((key, plain(dir?))))
            .collect();
        for (i, (key, dir)) in all.iter().enumerate() {
            for (other, other_dir) in &all[i + 1..] {
                let related = dir.starts_with(other_dir) || other_dir.starts_with(dir);
                let deletes = kept.iter().any(|(kept, _)| kept == key);
                if related && deletes {
                    self.refuse(&[key, other], "one folder lies in the other, and old files are deleted there: give each a folder of its own");
                } else if dir == other_dir {
                    self.refuse(&[other, key], "learnt models need a folder of their own");
                }
            }
        }
    }

    fn journal(&mut self, journal: &JournalSettings) {
        if journal.segment_mb * 2 > journal.most_mb {
            self.refuse(
                &["journal.most_mb", "journal.segment_mb"],
                format!(
                    "the journal is cut by whole segments, so it must hold two: write at least {}",
                    journal.segment_mb * 2
                ),
            );
        }
        self.mount("journal", journal.dir.as_deref(), journal.require_mount.as_deref());
    }

    fn evidence(&mut self, evidence: &EvidenceSettings, dir: &Path) {
        if evidence.before_mb * 2 > evidence.quota_mb {
            self.refuse(
                &["evidence.quota_mb", "evidence.before_mb"],
                format!(
                    "the frames from before one event would fill it: write at least {}",
                    evidence.before_mb * 2
                ),
            );
        }
        self.mount("evidence", Some(dir), evidence.require_mount.as_deref());
    }

    /// `require_mount` of a section.
    fn mount(&mut self, section: &str, dir: Option<&Path>, mount: Option<&Path>) {
        let (Some(dir), Some(mount)) = (dir, mount) else { return };
        let [key, dir_key] = ["require_mount", "dir"].map(|name| format!("{section}.{name}"));
        if plain(mount) == Path::new("/") {
            self.refuse(
                &[&key],
                "`/` is always mounted: name the disk's mount point, or remove it",
            );
        } else if !plain(dir).starts_with(plain(mount)) {
            let why =
                format!("the {section} lies elsewhere: name the mount point that {dir_key} is on");
            self.refuse(&[&key, &dir_key], why);
        }
    }

    fn line(&mut self, config: &Config, index: usize, line: &GpioSettings) {
        let key = |name: &str| nth("gpio", index, name);
        let same = |other: &GpioSettings| match (&line.backend, &other.backend) {
            (Backend::Sim(path), Backend::Sim(other)) => path == other,
            (Backend::Sim(_), _) | (_, Backend::Sim(_)) => false,
            _ => line.line == other.line && line.chip == other.chip,
        };
        if let Some(first) = config.gpio[..index].iter().position(same) {
            self.refuse(
                &[&key("line"), &nth("gpio", first, "line")],
                "two outputs share one line: choose another, or name all causes in `on` of one",
            );
        }
        let button = &config.learn;
        let is_button = button.button_line == Some(line.line) && button.button_chip == line.chip;
        if is_button && !matches!(line.backend, Backend::Sim(_)) {
            self.refuse(
                &[&key("line"), "learn.button_line"],
                "the line is the button's already: choose another",
            );
        }
        if line.mode == Mode::Hold && self.is_given(&key("pulse_ms")) {
            self.warn(
                &[&key("pulse_ms"), &key("mode")],
                "does nothing with mode \"hold\": write mode = \"pulse\", or remove it",
            );
        }
        let has_chip = matches!(line.backend, Backend::Auto | Backend::Gpiocdev);
        if !has_chip && self.is_given(&key("chip")) {
            self.warn(
                &[&key("chip"), &key("backend")],
                "only \"gpiocdev\" has chips: remove it, or change the backend",
            );
        }
    }

    fn mqtt(&mut self, mqtt: &MqttSettings) {
        let url = mqtt.url.to_string();
        let Ok(url) = Url::parse(&url, &SCHEMES) else { return };
        if mqtt.password_file.is_some() && mqtt.user.is_none() {
            self.refuse(
                &["mqtt.password_file", "mqtt.user"],
                "MQTT sends a password only beside a user: set mqtt.user",
            );
        }
        if mqtt.ca_file.is_some() && url.scheme == "mqtt" {
            self.refuse(
                &["mqtt.ca_file", "mqtt.url"],
                "certificates are for TLS: write mqtts:// in mqtt.url",
            );
        }
        if mqtt.password_file.is_some() && !url.is_private() {
            self.warn(
                &["mqtt.password_file", "mqtt.url"],
                "the password crosses the network as plain text: mqtts:// would hide it",
            );
        }
    }

    fn webhook(&mut self, index: usize, webhook: &WebhookSettings) {
        let url = webhook.url.to_string();
        let Ok(url) = Url::parse(&url, &SCHEMES) else { return };
        let key = |name: &str| nth("webhook", index, name);
        if webhook.ca_file.is_some() && url.scheme == "http" {
            self.refuse(
                &[&key("ca_file"), &key("url")],
                "certificates are for TLS: write https:// in the URL",
            );
        }
        if webhook.token_file.is_some() && !url.is_private() {
            self.warn(
                &[&key("token_file"), &key("url")],
                "the token crosses the network as plain text: https:// would hide it",
            );
        }
    }

    fn http(&mut self, http: &HttpSettings) {
        if !http.listen.ip().is_loopback() && http.token_file.is_none() {
            self.refuse(
                &["http.listen", "http.token_file"],
                "others could look through the camera: name a file with a token in http.token_file, or listen on 127.0.0.1",
            );
        }
    }
}

/// The path without `.` and `..`, as it is written: links are not followed.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
