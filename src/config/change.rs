//! What a reload changes.

use std::fmt;

use super::keys::Entry;
use super::{Config, schema};

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At once, on SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Reload::Live => "live",
            Reload::Restart => "restart",
        })
    }
}

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `alarm.raise`, `region.0.at`.
    pub key: String,
    /// The values as TOML, without secrets; `None` where the key has none or its section is not there.
    pub old: Option<String>,
    pub new: Option<String>,
    pub reload: Reload,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
        write!(f, "{}: {} becomes {}", self.key, said(&self.old), said(&self.new))?;
        match self.reload {
            Reload::Live => Ok(()),
            Reload::Restart => write!(f, " at the next start"),
        }
    }
}

impl Config {
    /// The keys whose values differ in `new`, in the order of the file.
    pub fn changes(&self, new: &Config) -> Vec<Change> {
        let (old, new) = (schema::entries(self), schema::entries(new));
        let mut changes = Vec::new();
        for was in &old {
            let is = find(&new, was);
            if is.is_none_or(|is| is.value != was.value) {
                changes.push(Change::of(was, Some(was), is));
            }
        }
        for is in new.iter().filter(|is| find(&old, is).is_none()) {
            changes.push(Change::of(is, None, Some(is)));
        }
        changes.retain(|change| change.old != change.new || change.old.is_some());
        changes
    }

    /// What is in force after a reload without a restart: the live keys of `new`, all others of `self`.
    pub fn reloaded(&self, new: &Config) -> Config {
        let mut model = self.model.clone();
        model.alpha = new.model.alpha;
        let mut learn = self.learn.clone();
        learn.minutes = new.learn.minutes;
        Config {
            model,
            learn,
            quality: new.quality.clone(),
            gate: new.gate.clone(),
            pace: new.pace.clone(),
            alarm: new.alarm.clone(),
            drift: new.drift.clone(),
            log: new.log.clone(),
            ..self.clone()
        }
    }
}

impl Change {
    fn of(key: &Entry, old: Option<&Entry>, new: Option<&Entry>) -> Change {
        let shown = |entry: Option<&Entry>| entry?.shown.clone();
        Change { key: key.key(), old: shown(old), new: shown(new), reload: key.reload }
    }
}

fn find<'a>(entries: &'a [Entry], like: &Entry) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.section == like.section && entry.name == like.name)
}
