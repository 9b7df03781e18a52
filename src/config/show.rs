//! The configuration in force, and the list of keys.

use super::change::Reload;
use super::error::Place;
use super::keys::{Entry, Given};
use super::{Config, Explained, schema};

/// A key that a configuration may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Empty for what stands above all sections.
    pub section: &'static str,
    /// Whether there may be several of the section.
    pub several: bool,
    pub name: &'static str,
    /// Whether its section makes no sense without it.
    pub required: bool,
    /// As TOML; `None` if it has none.
    pub default: Option<String>,
    /// What it may be, for people.
    pub allowed: String,
    pub reload: Reload,
}

/// Every key, in the order of [`INIT`](super::INIT).
pub fn known() -> Vec<Known> {
    let of = |entry: Entry| Known {
        section: entry.section.name,
        several: entry.section.index.is_some(),
        name: entry.name,
        required: entry.required,
        default: entry.value.filter(|_| !entry.required),
        allowed: entry.allowed,
        reload: entry.reload,
    };
    schema::entries(&Config::complete()).into_iter().map(of).collect()
}

impl Explained {
    /// The configuration in force as TOML, with where each value comes from and without secrets.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = None;
        let width = self.entries().iter().map(|entry| line(entry).chars().count()).max();
        // Long lines have their comment where they end.
        let width = width.unwrap_or(0).min(48);
        for entry in self.entries() {
            if section.replace(entry.section) != Some(entry.section)
                && !entry.section.name.is_empty()
            {
                text += &format!("\n{}\n", entry.section.header());
            }
            let from = match &entry.given {
                Given::Yes(Place::File { line, .. }) => format!("{}:{line}", self.file_name()),
                Given::Yes(Place::Env(name)) => name.clone(),
                _ => "default".to_string(),
            };
            text += &format!("{:<width$}  # {from}\n", line(entry));
        }
        let off: Vec<&str> =
            known_sections().into_iter().filter(|name| self.is_off(name)).collect();
        if !off.is_empty() {
            text += &format!("\n# Not there, so not done: {}\n", off.join(", "));
        }
        text
    }

    fn is_off(&self, section: &str) -> bool {
        !self.entries().iter().any(|entry| entry.section.name == section)
    }
}

fn line(entry: &Entry) -> String {
    match &entry.shown {
        Some(value) => format!("{} = {value}", entry.name),
        None => format!("# {} is not set", entry.name),
    }
}

fn known_sections() -> Vec<&'static str> {
    let mut names: Vec<&str> = known().iter().map(|key| key.section).collect();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}
