//! Where keys of a recipe come from.

use std::path::Path;

use toml::{Table, Value};

use super::{RecipeError, RecipeErrorKind};

/// Keys from one place; not yet known to be keys of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Stands in errors.
    pub(super) name: String,
    pub(super) table: Table,
}

impl Layer {
    /// A recipe file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not TOML; the latter with its line.
    pub fn read(path: &Path) -> Result<Layer, RecipeError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| RecipeError::new(RecipeErrorKind::Read, &name, e.to_string()))?;
        Layer::parse(name, &text)
    }

    /// A recipe's text; `name` stands in errors.
    pub fn parse(name: String, text: &str) -> Result<Layer, RecipeError> {
        match text.parse() {
            Ok(table) => Ok(Layer { name, table }),
            Err(e) => {
                let why = located(text, &e);
                Err(RecipeError::new(RecipeErrorKind::Syntax, &name, why))
            }
        }
    }

    /// One key: `heat-gmm.steps=20`, `alpha=0.01`. What is not a TOML value is taken as text, so that
    /// quotes can be left out.
    pub fn set(text: &str) -> Result<Layer, RecipeError> {
        let name = format!("--set {text}");
        let refuse = || {
            let why = "write KEY=VALUE, for example heat-gmm.steps=20".to_string();
            RecipeError::new(RecipeErrorKind::Syntax, &name, why)
        };
        let (path, value) = text.split_once('=').ok_or_else(refuse)?;
        let keys: Vec<&str> = path.split('.').map(str::trim).collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(refuse());
        }
        let value = value.trim();
        let value = value.parse().unwrap_or_else(|_| Value::String(value.to_string()));
        let nested = keys
            .iter()
            .rev()
            .fold(value, |inner, key| Value::Table(Table::from_iter([(key.to_string(), inner)])));
        let Value::Table(table) = nested else { return Err(refuse()) };
        Ok(Layer { name, table })
    }

    /// The flags of the command line that are keys of a recipe; `--` and the key stands in errors.
    pub fn flags(flags: Vec<(&str, Value)>) -> Vec<Layer> {
        let of = |(key, value): (&str, Value)| Layer {
            name: format!("--{key}"),
            table: Table::from_iter([(key.to_string(), value)]),
        };
        flags.into_iter().map(of).collect()
    }
}

/// The message of a TOML error on one line, with the line that it is about.
fn located(text: &str, e: &toml::de::Error) -> String {
    let message = e.message().lines().collect::<Vec<_>>().join(", ");
    match e.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}
