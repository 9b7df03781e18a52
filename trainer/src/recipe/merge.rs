//! Laying one layer over another.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::document::{Document, OF_MIXTURES};
use super::{FORMAT, Layer, Preset, REFINED, RecipeError, RecipeErrorKind, split_list};

/// The layers on top of each other.
pub struct Merged {
    table: Table,
    preset: Preset,
    /// The layer that each key has its value from, by its path; the others are the preset's.
    origins: BTreeMap<String, String>,
}

impl Merged {
    pub fn of(layers: &[Layer]) -> Result<Merged, RecipeError> {
        let mut preset = Preset::default();
        for layer in layers {
            check_format(layer)?;
            if let Some(named) = layer.table.get("preset") {
                preset = named.clone().try_into().map_err(|e: toml::de::Error| {
                    let why = format!("preset: {}", e.message());
                    RecipeError::new(RecipeErrorKind::Type, &layer.name, why)
                })?;
            }
        }
        let base = Document::of(preset).table();
        let mut merged = Merged { table: base.clone(), preset, origins: BTreeMap::new() };
        for layer in layers {
            merged.lay(layer, &base)?;
        }
        merged.table.insert("preset".into(), Value::String(preset.name().into()));
        Ok(merged)
    }

    fn lay(&mut self, layer: &Layer, base: &Table) -> Result<(), RecipeError> {
        for (key, value) in &layer.table {
            match (base.get(key), value) {
                (Some(Value::Table(inner)), Value::Table(given)) => {
                    for (name, value) in given {
                        self.put(layer, base, &[key, name], inner.get(name), value)?;
                    }
                }
                (like, value) => self.put(layer, base, &[key], like, value)?,
            }
        }
        Ok(())
    }

    /// Sets one key. `like` is the preset's value of it.
    fn put(
        &mut self,
        layer: &Layer,
        base: &Table,
        path: &[&String],
        like: Option<&Value>,
        value: &Value,
    ) -> Result<(), RecipeError> {
        let dotted = path.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(".");
        let refuse = |kind, why| Err(RecipeError::new(kind, &layer.name, why));
        let Some(like) = like else {
            return refuse(RecipeErrorKind::Key, unknown(&dotted, path[path.len() - 1], base));
        };
        let value = match convert(value, like) {
            Ok(value) => value,
            Err(expected) => {
                let why = format!("{dotted} = {value}: expected {expected}");
                return refuse(RecipeErrorKind::Type, why);
            }
        };
        let table = match path {
            [outer, _] => self.table.get_mut(outer.as_str()).and_then(Value::as_table_mut),
            _ => Some(&mut self.table),
        };
        if let Some(table) = table {
            table.insert(path[path.len() - 1].clone(), value);
        }
        self.origins.insert(dotted.clone(), layer.name.clone());
        // All was well before, so what is wrong now is this value: it is none of its choices.
        match self.read() {
            Ok(_) => Ok(()),
            Err(why) => refuse(RecipeErrorKind::Type, format!("{dotted}: {why}")),
        }
    }

    fn read(&self) -> Result<Document, String> {
        let mut table = self.table.clone();
        let el = REFINED[2].name();
        let whole = Table::try_from(&self.preset.constants()[2]).map_err(|e| e.to_string())?;
        if let Some(Value::Table(el)) = table.get_mut(el) {
            for key in OF_MIXTURES {
                el.insert(key.into(), whole[key].clone());
            }
        }
        table.try_into().map_err(|e: toml::de::Error| e.message().to_string())
    }

    /// The result of all layers.
    pub fn document(&self) -> Result<Document, RecipeError> {
        self.read().map_err(|why| self.refuse("", why))
    }

    /// A value that has the right type and yet makes no sense.
    pub fn refuse(&self, key: &str, why: String) -> RecipeError {
        let preset = || format!("preset {}", self.preset);
        let layer = self.origins.get(key).cloned().unwrap_or_else(preset);
        let value = match key.split_once('.') {
            Some((outer, inner)) => self.table.get(outer).and_then(|table| table.get(inner)),
            None => self.table.get(key),
        };
        let value = value.map_or(String::new(), |value| format!(" = {value}"));
        RecipeError::new(RecipeErrorKind::Value, &layer, format!("{key}{value}: {why}"))
    }
}

/// Before any key is looked at: a newer program may have keys that this one has not.
fn check_format(layer: &Layer) -> Result<(), RecipeError> {
    match layer.table.get("format") {
        Some(Value::Integer(format)) if *format > FORMAT => {
            let why = format!(
                "recipe of a newer version (format {format}; this program reads {FORMAT}), update \
                 oddsight-train"
            );
            Err(RecipeError::new(RecipeErrorKind::Format, &layer.name, why))
        }
        Some(Value::Integer(FORMAT)) | None => Ok(()),
        Some(other) => {
            let why = format!("format = {other}: expected {FORMAT}");
            Err(RecipeError::new(RecipeErrorKind::Format, &layer.name, why))
        }
    }
}

/// `given` as a value of the type of `like`; the error says what is expected.
fn convert(given: &Value, like: &Value) -> Result<Value, &'static str> {
    const WHOLE: &str = "a whole number, 0 or more";
    match (like, given) {
        (Value::Boolean(_), Value::Boolean(_)) => Ok(given.clone()),
        (Value::Boolean(_), _) => Err("true or false"),
        (Value::Integer(_), Value::Integer(0..)) => Ok(given.clone()),
        (Value::Integer(_), _) => Err(WHOLE),
        (Value::Float(_), Value::Float(_)) => Ok(given.clone()),
        (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(*whole as f64)),
        (Value::Float(_), _) => Err("a number"),
        (Value::String(text), Value::Integer(0..)) if text == "bic" => Ok(given.clone()),
        (Value::String(text), Value::Integer(_)) if text == "bic" => Err(WHOLE),
        (Value::String(_), Value::String(_)) => Ok(given.clone()),
        (Value::String(_), _) => Err("text"),
        (Value::Array(like), given) => list(given, like.first()),
        (Value::Table(_), _) => Err("a table"),
        (Value::Datetime(_), _) => Err("a date"),
    }
}

/// A list of texts, which may be one text with commas, or of whole numbers.
fn list(given: &Value, like: Option<&Value>) -> Result<Value, &'static str> {
    let is_text = matches!(like, Some(Value::String(_)));
    match given {
        Value::String(text) if is_text => {
            Ok(Value::Array(split_list(text).into_iter().map(Value::String).collect()))
        }
        Value::Array(values) if is_text && values.iter().all(Value::is_str) => Ok(given.clone()),
        _ if is_text => Err("a list of names, such as [\"gmm\", \"el\"]"),
        Value::Array(values) if values.iter().all(|v| matches!(v, Value::Integer(0..))) => {
            Ok(given.clone())
        }
        _ => Err("a list of whole numbers, such as [10, 15]"),
    }
}

fn unknown(dotted: &str, key: &str, base: &Table) -> String {
    let outer = dotted.split_once('.').map(|(outer, _)| outer);
    let mut known: Vec<(Option<&str>, &str)> = Vec::new();
    for (name, value) in base {
        known.push((None, name));
        if let Value::Table(inner) = value {
            known.extend(inner.keys().map(|key| (Some(name.as_str()), key.as_str())));
        }
    }
    if outer == Some(REFINED[2].name()) && OF_MIXTURES.contains(&key) {
        return format!("{dotted} has no meaning: the energy of logits is no mixture; remove it");
    }
    let table = outer.map_or("at the top level".to_string(), |outer| format!("in table [{outer}]"));
    let nearest = known.into_iter().min_by_key(|(of, name)| (distance(key, name), *of != outer));
    // Half of the letters changed: another word, not the same one misspelt.
    let nearest = nearest.filter(|(_, name)| distance(key, name) <= key.chars().count() / 2);
    let hint = match nearest {
        Some((Some(of), name)) => format!("the nearest known key is `{of}.{name}`"),
        Some((None, name)) => format!("the nearest known key is `{name}`"),
        None => "`oddsight-train recipe` prints all keys".to_string(),
    };
    format!("unknown key `{key}` {table}; {hint}")
}

/// Insertions, deletions and substitutions between two words (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
