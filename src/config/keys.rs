//! Going through all keys: each is looked up, read into its field, and noted down.
//!
//! One walk over the settings serves everything. Over a document it reads; over an empty one it changes nothing and
//! gives the list of keys with the values that the settings have.

use toml::Spanned;
use toml::de::DeValue;

use super::change::Reload;
use super::document::{At, Document, Found, SectionId};
use super::error::{ConfigErrorKind, Place, Problem};
use super::given::Refusal;
use super::kind::Kind;

/// Problems that are kept; a file with more is no configuration.
const MOST_PROBLEMS: usize = 50;

/// Sections of one name.
const MOST_SECTIONS: usize = 64;

/// A key that was gone through.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub section: SectionId,
    pub name: &'static str,
    /// As TOML; `None` if it has none.
    pub value: Option<String>,
    /// The same without secrets.
    pub shown: Option<String>,
    pub allowed: String,
    pub is_path: bool,
    pub reload: Reload,
    pub required: bool,
    pub given: Given,
}

/// How an entry came by its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    No,
    Yes(Place),
    /// It was given and refused; a problem says why.
    Refused,
}

impl Entry {
    pub fn key(&self) -> String {
        self.section.key(self.name)
    }

    pub fn is_given(&self) -> bool {
        matches!(self.given, Given::Yes(_))
    }

    /// How messages name it and say where its value comes from.
    pub fn said(&self) -> String {
        let Some(value) = self.shown.as_deref() else {
            return format!("{} is not set", self.key());
        };
        let from = match &self.given {
            Given::Yes(Place::File { line, .. }) => format!("line {line}"),
            Given::Yes(Place::Env(name)) => name.clone(),
            _ => "the default".to_string(),
        };
        format!("{} = {} ({from})", self.key(), value)
    }
}

/// The walk.
pub(super) struct Keys<'d> {
    pub document: &'d Document<'d>,
    pub entries: Vec<Entry>,
    pub problems: Vec<Problem>,
    /// Problems that were not kept.
    pub more: usize,
    /// Names of sections, and whether there may be several of each.
    pub sections: Vec<(&'static str, bool)>,
    /// Variables that were asked for, without the prefix.
    pub used: Vec<&'d str>,
}

/// The keys of one section.
pub(super) struct Section<'k, 'd> {
    keys: &'k mut Keys<'d>,
    id: SectionId,
}

impl<'d> Keys<'d> {
    pub fn new(document: &'d Document<'d>) -> Keys<'d> {
        let (problems, more) = (document.broken.problems.clone(), 0);
        Keys { document, entries: vec![], problems, more, sections: vec![], used: vec![] }
    }

    /// What stands above all sections.
    pub fn top(&mut self) -> Section<'_, 'd> {
        Section { keys: self, id: SectionId { name: "", index: None } }
    }

    /// A section that is always in force.
    pub fn section(&mut self, name: &'static str) -> Section<'_, 'd> {
        self.sections.push((name, false));
        Section { keys: self, id: SectionId { name, index: None } }
    }

    /// A section that says by being there that something is done at all; `is_on` says that it is done.
    pub fn outlet(
        &mut self,
        name: &'static str,
        is_on: bool,
        visit: impl FnOnce(&mut Section<'_, 'd>),
    ) {
        let mut section = self.section(name);
        if is_on || section.keys.document.has(section.id) {
            visit(&mut section);
        }
    }

    /// The same where nothing stands for what is not done.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        settings: &mut Option<T>,
        default: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Section<'_, 'd>, &mut T),
    ) {
        let mut section = self.section(name);
        if section.keys.document.has(section.id) {
            settings.get_or_insert_with(default);
        }
        if let Some(settings) = settings {
            visit(&mut section, settings);
        }
    }

    /// Any number of sections of one name; none given leaves them as they are.
    pub fn several<T>(
        &mut self,
        name: &'static str,
        settings: &mut Vec<T>,
        default: impl Fn() -> T,
        visit: impl Fn(&mut Section<'_, 'd>, &mut T),
    ) {
        self.sections.push((name, true));
        let given = self.document.count(name);
        if given > MOST_SECTIONS {
            let id = SectionId { name, index: Some(MOST_SECTIONS) };
            let why = format!("one too many: there may be {MOST_SECTIONS} of [[{name}]]");
            self.refuse_section(ConfigErrorKind::Value, id, why);
        }
        if given > 0 {
            settings.clear();
            settings.resize_with(given.min(MOST_SECTIONS), default);
        }
        for (index, settings) in settings.iter_mut().enumerate() {
            visit(
                &mut Section { keys: self, id: SectionId { name, index: Some(index) } },
                settings,
            );
        }
    }

    pub fn push(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem)
        } else {
            self.more += 1
        }
    }

    /// Whether further problems are only counted; this counts one.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.problems.len() >= MOST_PROBLEMS;
        self.more += usize::from(is_full);
        is_full
    }

    /// Refuses what stands `at` a place.
    pub fn refuse(&mut self, kind: ConfigErrorKind, at: &At<'_>, key: &str, why: String) {
        if self.is_full() {
            return;
        }
        let problem = self.document.problem(kind, at, key.to_string(), why);
        // What a broken line says is not what was meant.
        if !self.document.broken.covers(problem.place()) {
            self.problems.push(problem);
        }
    }

    /// Refuses a section, or what is missing in it.
    pub fn refuse_section(&mut self, kind: ConfigErrorKind, id: SectionId, why: String) {
        let key = id.key("").trim_end_matches('.').to_string();
        match self.document.header(id) {
            Some(span) => self.refuse(kind, &At::File(span), &key, why),
            None => self.push(Problem::new(kind, Place::Default, key, why)),
        }
    }

    /// The entry of a key, if it was gone through.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key() == key)
    }
}

impl Section<'_, '_> {
    /// Goes to one key.
    pub fn key<T>(&mut self, reload: Reload, name: &'static str, kind: Kind<T>, field: &mut T) {
        let document = self.keys.document;
        let found = document.find(self.id, name);
        let given = match found {
            None => Given::No,
            Some(Found { given, at }) => match (kind.read)(&given) {
                Ok(value) => {
                    *field = value;
                    Given::Yes(document.place(&at))
                }
                Err(refusal) => {
                    let (kind, why) = match refusal {
                        Refusal::Type(why) => (ConfigErrorKind::Type, why),
                        Refusal::Value(why) => (ConfigErrorKind::Value, why),
                    };
                    self.keys.refuse(kind, &at, &self.id.key(name), why);
                    Given::Refused
                }
            },
        };
        if let Some(variable) = document.variable(self.id, name) {
            self.keys.used.push(variable);
        }
        let value = (kind.write)(field);
        self.keys.entries.push(Entry {
            section: self.id,
            name,
            shown: value.as_deref().map(kind.show),
            value,
            allowed: kind.allowed,
            is_path: kind.is_path,
            reload,
            required: false,
            given,
        });
    }

    /// The same for a key that must be given; `example` is a line that would do.
    pub fn required<T>(
        &mut self,
        reload: Reload,
        name: &'static str,
        kind: Kind<T>,
        field: &mut T,
        example: &str,
    ) {
        self.key(reload, name, kind, field);
        let Some(entry) = self.keys.entries.last_mut() else { return };
        entry.required = true;
        let not_given = entry.given == Given::No;
        // One of several may be the one that stands for none given.
        let is_there = self.id.index.is_none() || self.keys.document.has(self.id);
        let missing = not_given && is_there;
        // A file with a broken line may well have it there.
        if missing && self.keys.document.broken.is_empty() {
            let header = self.id.header();
            let key = self.id.key(name);
            let variable = super::document::variable(&key);
            let why =
                format!("missing; write for example `{example}` under {header}, or set {variable}");
            let problem = match self.keys.document.header(self.id) {
                Some(span) => {
                    let kind = ConfigErrorKind::Key;
                    self.keys.document.problem(kind, &At::File(span), key, why)
                }
                None => Problem::new(ConfigErrorKind::Key, Place::Default, key, why),
            };
            self.keys.push(problem);
        }
    }
}

/// What a section's value in the file is, if it is not what it should be.
pub(super) fn misshapen(name: &str, several: bool, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match (value.get_ref(), several) {
        (DeValue::Table(_), false) => None,
        (DeValue::Array(items), true) if items.iter().all(|i| i.get_ref().is_table()) => None,
        (DeValue::Table(_), true) => {
            Some(format!("there may be several: write [[{name}]], with two brackets on each side"))
        }
        (DeValue::Array(_), false) => {
            Some(format!("there is only one: write [{name}], with one bracket on each side"))
        }
        (_, true) => Some(format!("is a section: write [[{name}]] and its keys below")),
        (_, false) => Some(format!("is a section: write [{name}] and its keys below")),
    }
}
