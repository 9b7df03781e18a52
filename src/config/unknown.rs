//! Names that nobody knows, and which known ones were meant.

use std::sync::OnceLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{At, PREFIX, variable};
use super::error::ConfigErrorKind;
use super::keys::{Entry, Keys, misshapen};
use super::{Config, mask, nearest, schema};

/// A key as the schema has it; sections that there may be several of have the index 0.
struct Known {
    section: &'static str,
    several: bool,
    name: &'static str,
}

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let of = |entry: &Entry| Known {
            section: entry.section.name,
            several: entry.section.index.is_some(),
            name: entry.name,
        };
        schema::entries(&Config::complete()).iter().map(of).collect()
    })
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static str> {
    known().iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// `[camera]`, `[[region]]`
fn header(section: &str) -> String {
    match known().iter().find(|key| key.section == section) {
        Some(Known { several: true, .. }) => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// `http.listen` as `listen in [http]`.
fn placed(key: &str) -> String {
    match key.split_once('.') {
        Some((section, name)) => format!("`{name}` in {}", header(section)),
        None => format!("`{key}`"),
    }
}

/// Refuses every key, section and variable that was not asked for.
pub(super) fn refuse(keys: &mut Keys<'_>) {
    let document = keys.document;
    for (name, value) in &document.root {
        let section =
            keys.sections.iter().copied().find(|(section, _)| *section == &**name.get_ref());
        match section {
            Some((section, several)) => match misshapen(section, several, value) {
                Some(why) => {
                    keys.refuse(ConfigErrorKind::Type, &At::File(value.span()), section, why)
                }
                None => in_section(keys, section, value),
            },
            None if keys_of("").any(|key| key == name.get_ref()) => {}
            None if keys.is_full() => {}
            None => {
                let why = unknown_at_top(name.get_ref(), value.get_ref());
                let shown = mask::quoted(name.get_ref());
                let span = if value.get_ref().is_table() { value.span() } else { name.span() };
                keys.refuse(ConfigErrorKind::Key, &At::File(span), &shown, why);
            }
        }
    }
    for (variable, value) in &document.env {
        // An empty one says that a key is not given, whether its section is there or not.
        let is_moot = value.is_empty() && names_key(variable);
        if !keys.used.contains(variable) && !is_moot && !keys.is_full() {
            let why = unknown_variable(variable);
            let at = At::Env(variable);
            keys.refuse(ConfigErrorKind::Key, &at, "", why);
        }
    }
}

fn in_section(keys: &mut Keys<'_>, section: &'static str, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::Table(table) => in_table(keys, section, section, table),
        DeValue::Array(tables) => {
            for (index, table) in tables.iter().enumerate() {
                if let DeValue::Table(table) = table.get_ref() {
                    in_table(keys, section, &format!("{section}.{index}"), table);
                }
            }
        }
        _ => {}
    }
}

fn in_table(keys: &mut Keys<'_>, section: &'static str, path: &str, table: &DeTable<'_>) {
    for name in table.keys() {
        if !keys_of(section).any(|key| key == name.get_ref()) && !keys.is_full() {
            let key = format!("{path}.{}", mask::quoted(name.get_ref()));
            let why = unknown_in(section, name.get_ref());
            keys.refuse(ConfigErrorKind::Key, &At::File(name.span()), &key, why);
        }
    }
}

/// What is said of an unknown key of a section.
fn unknown_in(section: &str, name: &str) -> String {
    let header = header(section);
    let file = format!("{name}_file");
    if keys_of(section).any(|key| key == file) {
        return format!(
            "unknown key in {header}; write it to a file that only this program may read, and name that: `{file}`"
        );
    }
    if let Some(near) = nearest::typo(name, keys_of(section)) {
        return format!("unknown key in {header}; did you mean `{near}`?");
    }
    if let Some(key) = known().iter().find(|key| key.name == name && !key.several) {
        let place = match key.section {
            "" => "above all sections, at the top of the file".to_string(),
            section => format!("under {}", self::header(section)),
        };
        return format!("unknown key in {header}; it belongs {place}");
    }
    if let Some(near) = nearest::stem(name, keys_of(section)) {
        return format!("unknown key in {header}; did you mean `{near}`?");
    }
    if let Some(key) = nearest::synonym(section, name) {
        return format!("unknown key in {header}; that is {}", placed(key));
    }
    let all: Vec<&str> = keys_of(section).collect();
    format!("unknown key in {header}; its keys are {}", all.join(", "))
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = known().iter().map(|key| key.section).collect();
    sections.dedup();
    sections.retain(|section| !section.is_empty());
    sections
}

/// What is said of an unknown section, or of a key above all sections.
fn unknown_at_top(name: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(_) | DeValue::Array(_) => unknown_section(name),
        _ => unknown_above(name),
    }
}

fn unknown_section(name: &str) -> String {
    let sections = sections();
    let plural = |section: &&&str| name.strip_suffix('s') == Some(section);
    let near = nearest::typo(name, sections.iter().copied());
    match near.or_else(|| sections.iter().find(plural).copied()) {
        Some(near) => format!("unknown section; did you mean {}?", header(near)),
        None => {
            let all: Vec<String> = sections.into_iter().map(header).collect();
            format!("unknown section; there are {}", all.join(", "))
        }
    }
}

fn unknown_above(name: &str) -> String {
    let path = |name: &str| {
        let key = known().iter().find(|key| key.name == name)?;
        Some(if key.section.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", key.section)
        })
    };
    if let Some(key) = known().iter().find(|key| key.name == name) {
        let header = header(key.section);
        return format!("unknown key above all sections; it belongs under {header}, further down");
    }
    let near = nearest::typo(name, known().iter().map(|key| key.name)).and_then(path);
    match near.or_else(|| nearest::synonym("", name).map(str::to_string)) {
        Some(key) => format!("unknown key above all sections; did you mean {}?", placed(&key)),
        None => "unknown key above all sections; keys stand under the header of their section, such as [camera]".into(),
    }
}

/// Whether a variable overrides a key of some section.
fn names_key(variable: &str) -> bool {
    let parts: Vec<&str> = variable.split("__").collect();
    let (section, several, name) = match parts[..] {
        [name] => ("", false, name),
        [section, name] => (section, false, name),
        [section, index, name] if index.parse::<usize>().is_ok() => (section, true, name),
        _ => return false,
    };
    known().iter().any(|key| {
        key.section.eq_ignore_ascii_case(section)
            && key.several == several
            && key.name.eq_ignore_ascii_case(name)
    })
}

/// What is said of a variable that overrides nothing.
fn unknown_variable(name: &str) -> String {
    let shown = mask::quoted(name);
    let mut parts = name.splitn(3, "__");
    let (section, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let section = section.to_ascii_lowercase();
    if let Some(key) = known().iter().find(|key| key.section == section && key.several) {
        return match second.parse::<usize>() {
            Ok(index)
                if parts.next().is_some_and(|third| {
                    keys_of(&section).any(|key| key.eq_ignore_ascii_case(third))
                }) =>
            {
                format!("there is no [[{section}]] number {index}; they count from 0 without gaps")
            }
            _ => {
                let example = variable(&format!("{section}.0.{}", key.name));
                format!("names no key; write for example {example} for the first [[{section}]]")
            }
        };
    }
    let all: Vec<String> = known()
        .iter()
        .filter(|key| !key.several)
        .map(|key| match key.section {
            "" => key.name.to_string(),
            section => format!("{section}__{}", key.name),
        })
        .collect();
    match nearest::typo(name, all.iter().map(String::as_str)) {
        Some(near) => format!("names no key; did you mean {PREFIX}{}?", near.to_ascii_uppercase()),
        None => format!(
            "`{shown}` names no key; variables are {PREFIX}SECTION__KEY, for example {}; remove it",
            variable("camera.source")
        ),
    }
}
