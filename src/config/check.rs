//! Values that are fine alone and make no sense beside each other.

use std::path::Path;

use super::Config;
use super::document::SectionId;
use super::error::{ConfigErrorKind, Place, Problem};
use super::keys::{Given, Keys};

mod outlets;
mod stages;

/// Variables of systemd that say under what conditions the program runs.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
pub(super) const VARIABLES: [&str; 2] = [NOTIFY_SOCKET, WATCHDOG_USEC];

/// What the checks are given, and where they put what they find.
struct Checks<'k, 'd> {
    keys: &'k mut Keys<'d>,
    warnings: Vec<Problem>,
    env: &'k [(String, String)],
}

/// Everything about `config` that spans several keys: problems go to `keys`, warnings are returned.
pub(super) fn check(
    config: &Config,
    keys: &mut Keys<'_>,
    env: &[(String, String)],
) -> Vec<Problem> {
    let mut checks = Checks { keys, warnings: Vec::new(), env };
    checks.paths(config);
    checks.stages(config);
    checks.outlets(config);
    checks.warnings
}

impl Checks<'_, '_> {
    /// Refuses what the `keys` say together. It is shown where the first of them that was given stands; the others' values
    /// and where they come from are added.
    fn refuse(&mut self, keys: &[&str], why: impl Into<String>) {
        if let Some(problem) = self.problem(keys, why.into()) {
            self.keys.push(problem);
        }
    }

    /// The same for what works, but hardly as somebody meant it.
    fn warn(&mut self, keys: &[&str], why: impl Into<String>) {
        if let Some(problem) = self.problem(keys, why.into()) {
            self.warnings.push(problem);
        }
    }

    /// `None` if one of the keys was refused already: its value is not what somebody wrote.
    fn problem(&self, keys: &[&str], mut why: String) -> Option<Problem> {
        let entries: Vec<_> = keys.iter().filter_map(|key| self.keys.entry(key)).collect();
        if entries.iter().any(|entry| entry.given == Given::Refused) {
            return None;
        }
        // A file with broken lines says only half of what was meant: what is not given may stand in one of them.
        let broken = &self.keys.document.broken;
        let is_sure = |given: &Given| matches!(given, Given::Yes(place) if !broken.covers(place));
        if !broken.is_empty() && !entries.iter().all(|entry| is_sure(&entry.given)) {
            return None;
        }
        let blamed = entries.iter().find(|entry| entry.is_given()).or(entries.first())?;
        for other in entries.iter().filter(|entry| entry.key() != blamed.key()) {
            why += &format!("; {}", other.said());
        }
        let kind = ConfigErrorKind::Value;
        let document = self.keys.document;
        Some(match document.find(blamed.section, blamed.name) {
            Some(found) => document.problem(kind, &found.at, blamed.key(), why),
            None => Problem::new(kind, Place::Default, blamed.key(), why),
        })
    }

    fn is_given(&self, key: &str) -> bool {
        self.keys.entry(key).is_some_and(|entry| entry.is_given())
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_str())
    }

    /// Relative paths depend on the folder that the program is started in, which for a unit is `/`.
    fn paths(&mut self, config: &Config) {
        let mut relative = Vec::new();
        for entry in self.keys.entries.iter().filter(|entry| entry.is_path && entry.is_given()) {
            let path = entry.value.as_deref().and_then(unquoted);
            relative.extend(path.filter(|path| Path::new(path).is_relative()).map(|_| entry.key()));
        }
        let source = config.camera.source.to_string();
        let stored = source.strip_prefix("dir:").or(source.strip_prefix("tar:"));
        if stored.is_some_and(|path| !path.starts_with('/')) {
            relative.push("camera.source".into());
        }
        for (index, hook) in config.hooks.iter().enumerate() {
            let program = hook.command.first().map_or("/", String::as_str);
            // Without a slash it is looked up in PATH.
            if program.contains('/') && !program.starts_with('/') {
                relative.push(format!("hook.{index}.command"));
            }
        }
        let is_unit = self.variable(NOTIFY_SOCKET).is_some();
        for key in relative {
            if is_unit {
                self.refuse(&[&key], "a path that depends on where the program is started; under systemd write the whole path");
            } else {
                self.warn(&[&key], "a path that depends on where the program is started; write the whole path for systemd");
            }
        }
    }
}

/// The text of a TOML string.
fn unquoted(toml: &str) -> Option<String> {
    match toml.parse() {
        Ok(toml::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// `region.0.name`
fn nth(section: &'static str, index: usize, name: &str) -> String {
    SectionId { name: section, index: Some(index) }.key(name)
}
