//! What was given: a file's tables, and the environment over them.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigErrorKind, Place, Problem, position};
use super::given::Given;
use super::syntax::Broken;

/// What variables of ours begin with.
pub const PREFIX: &str = "ODDSIGHT_";

/// Between a section, an index and a key.
const BETWEEN: &str = "__";

/// Commands of `[[hook]]` have the fields of a message as variables, this one always. A command that calls this program
/// means no key by them.
const OF_HOOKS: &str = "EVENT";

/// A file and the environment.
pub(super) struct Document<'a> {
    pub text: &'a str,
    pub root: DeTable<'a>,
    /// Variables of ours without [`PREFIX`].
    pub env: BTreeMap<&'a str, &'a str>,
    /// What is wrong with the file as TOML.
    pub broken: Broken,
}

/// A value that was found.
pub(super) struct Found<'d> {
    pub given: Given<'d>,
    pub at: At<'d>,
}

/// Where it was found.
#[derive(Clone, Debug)]
pub(super) enum At<'d> {
    /// Bytes of the file.
    File(Range<usize>),
    /// Name of the variable without [`PREFIX`].
    Env(&'d str),
}

/// A section, or one of several of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectionId {
    /// Empty for what stands above all sections.
    pub name: &'static str,
    pub index: Option<usize>,
}

impl SectionId {
    /// `camera.stall_ms`, `region.0.name`, `device`.
    pub fn key(&self, name: &str) -> String {
        match (self.name, self.index) {
            ("", _) => name.to_string(),
            (section, Some(index)) => format!("{section}.{index}.{name}"),
            (section, None) => format!("{section}.{name}"),
        }
    }

    /// As the file's header has it.
    pub fn header(&self) -> String {
        match (self.name, self.index) {
            ("", _) => "the top level".to_string(),
            (name, Some(_)) => format!("[[{name}]]"),
            (name, None) => format!("[{name}]"),
        }
    }

    /// Without [`PREFIX`]: `CAMERA__STALL_MS`, `REGION__0__NAME`, `DEVICE`; all of a section begin with the variable of
    /// the key "".
    fn variable(&self, name: &str) -> String {
        self.key(name).to_ascii_uppercase().replace('.', BETWEEN)
    }
}

/// The variable that overrides the key `section.key`, `section.index.key` or `key`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', BETWEEN))
}

impl<'a> Document<'a> {
    pub fn new(text: &'a str, env: &'a [(String, String)]) -> Document<'a> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let ours = env
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value.as_str())));
        let mut env: BTreeMap<&str, &str> = ours.collect();
        if env.contains_key(OF_HOOKS) {
            env.retain(|name, _| name.contains(BETWEEN));
        }
        let broken = Broken::new(text, &errors);
        Document { text, root: root.into_inner(), env, broken }
    }

    /// Nothing at all: what is asked of it keeps its value.
    pub fn empty() -> Document<'static> {
        Document::new("", &[])
    }

    /// The section's table in the file.
    pub fn table(&self, id: SectionId) -> Option<&DeTable<'a>> {
        let value = match id.name {
            "" => return Some(&self.root),
            name => self.root.get(name)?.get_ref(),
        };
        match (value, id.index) {
            (DeValue::Table(table), None) => Some(table),
            (DeValue::Array(tables), Some(index)) => match tables.get(index)?.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            },
            _ => None,
        }
    }

    /// The section's header in the file.
    pub fn header(&self, id: SectionId) -> Option<Range<usize>> {
        let value = self.root.get(id.name)?;
        match (value.get_ref(), id.index) {
            (DeValue::Array(tables), Some(index)) => tables.get(index).map(Spanned::span),
            (DeValue::Table(_), None) => Some(value.span()),
            _ => None,
        }
    }

    /// How many sections of this name the file and the environment make together.
    pub fn count(&self, name: &'static str) -> usize {
        let in_file = match self.root.get(name).map(Spanned::get_ref) {
            Some(DeValue::Array(tables)) => tables.len(),
            _ => 0,
        };
        let mut count = in_file;
        while self.has_variables(SectionId { name, index: Some(count) }) {
            count += 1;
        }
        count
    }

    /// Whether a section is there at all.
    pub fn has(&self, id: SectionId) -> bool {
        self.table(id).is_some() || self.has_variables(id)
    }

    fn has_variables(&self, id: SectionId) -> bool {
        let prefix = id.variable("");
        let from = self.env.range(prefix.as_str()..);
        let mut of_section = from.take_while(|(name, _)| name.starts_with(&prefix));
        of_section.any(|(_, value)| !value.is_empty())
    }

    /// A key's value: the environment's, else the file's. An empty variable stands for a key that is not given.
    pub fn find(&self, id: SectionId, name: &str) -> Option<Found<'_>> {
        if let Some((variable, value)) = self.env.get_key_value(id.variable(name).as_str()) {
            let found = Found { given: Given::Env(value), at: At::Env(variable) };
            return Some(found).filter(|_| !value.is_empty());
        }
        let value = self.table(id)?.get(name)?;
        Some(Found { given: Given::Toml(value.get_ref()), at: At::File(value.span()) })
    }

    /// The variable of a key, if there is one.
    pub fn variable(&self, id: SectionId, name: &str) -> Option<&'a str> {
        self.env.get_key_value(id.variable(name).as_str()).map(|(variable, _)| *variable)
    }

    /// A problem with what stands there.
    pub fn problem(&self, kind: ConfigErrorKind, at: &At<'_>, key: String, why: String) -> Problem {
        let place = self.place(at);
        let problem = Problem::new(kind, place, key, why);
        match at {
            At::File(span) => problem.at(self.text, span.clone()),
            At::Env(_) => problem,
        }
    }

    pub fn place(&self, at: &At<'_>) -> Place {
        match at {
            At::File(span) => position(self.text, span.start),
            At::Env(name) => Place::Env(format!("{PREFIX}{name}")),
        }
    }
}
