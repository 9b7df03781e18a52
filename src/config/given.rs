//! A value as somebody gave it: in the file, where it has a type, or in the environment, where it is text.

use toml::Spanned;
use toml::de::DeValue;

use super::mask;

/// A given value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    /// From the file.
    Toml(&'a DeValue<'a>),
    /// From the environment, not empty.
    Env(&'a str),
}

/// Why a value is not what its key wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another type; what it should have been is added by who knows.
    Type(String),
    /// The right type, and yet no value for this key.
    Value(String),
}

impl Refusal {
    pub fn value<T>(why: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::Value(why.into()))
    }
}

impl Given<'_> {
    /// A text; everything in the environment is one.
    pub fn text(&self) -> Result<&str, Refusal> {
        match self {
            Given::Env(text) => Ok(text),
            Given::Toml(DeValue::String(text)) => Ok(text),
            Given::Toml(DeValue::Array(_)) => self.wrong("one text in quotes, not a list"),
            Given::Toml(DeValue::Table(_)) => self.wrong("a text in quotes"),
            Given::Toml(value) => {
                let spelt = scalar(value);
                self.wrong(&format!("text, so put it in quotes: \"{spelt}\""))
            }
        }
    }

    pub fn switch(&self) -> Result<bool, Refusal> {
        match self {
            Given::Env("true") | Given::Toml(DeValue::Boolean(true)) => Ok(true),
            Given::Env("false") | Given::Toml(DeValue::Boolean(false)) => Ok(false),
            Given::Toml(DeValue::String(text)) if matches!(&**text, "true" | "false") => {
                self.wrong(&format!("{text}, without quotes"))
            }
            _ => self.wrong("true or false"),
        }
    }

    /// A whole number of any size that TOML can spell; those beyond 128 bits count as the largest.
    pub fn whole(&self) -> Result<i128, Refusal> {
        match self {
            Given::Toml(DeValue::Integer(number)) => {
                let text = number.as_str();
                Ok(i128::from_str_radix(text, number.radix()).unwrap_or(if text.starts_with('-') {
                    i128::MIN
                } else {
                    i128::MAX
                }))
            }
            Given::Toml(DeValue::Float(number)) => match number.as_str().parse::<f64>() {
                Ok(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => {
                    self.wrong(&format!("a whole number, without a point: {}", whole as i64))
                }
                _ => self.wrong("a whole number"),
            },
            Given::Toml(DeValue::String(text)) if text.trim().parse::<i64>().is_ok() => {
                self.wrong(&format!("a whole number, without quotes: {}", text.trim()))
            }
            Given::Toml(_) => self.wrong("a whole number"),
            Given::Env(text) => match parsed(text) {
                Some(value @ (DeValue::Integer(_) | DeValue::Float(_))) => {
                    Given::Toml(&value).whole()
                }
                _ => self.wrong("a whole number"),
            },
        }
    }

    /// A number, also one without a point.
    pub fn number(&self) -> Result<f64, Refusal> {
        match self {
            Given::Toml(DeValue::Float(number)) => match number.as_str().parse() {
                Ok(number) => Ok(number),
                Err(_) => self.wrong("a number"),
            },
            Given::Toml(DeValue::Integer(_)) => Ok(self.whole()? as f64),
            Given::Toml(DeValue::String(text)) if text.trim().parse::<f64>().is_ok() => {
                self.wrong(&format!("a number, without quotes: {}", text.trim()))
            }
            Given::Toml(_) => self.wrong("a number"),
            Given::Env(text) => match parsed(text) {
                Some(value @ (DeValue::Integer(_) | DeValue::Float(_))) => {
                    Given::Toml(&value).number()
                }
                _ => self.wrong("a number"),
            },
        }
    }

    /// Hands the items of a list to `read`. In the environment a list is one of TOML, or its items with commas
    /// between them.
    pub fn items<T>(
        &self,
        read: &dyn Fn(&Given<'_>) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        match self {
            Given::Toml(DeValue::Array(items)) => {
                items.iter().map(|item| read(&Given::Toml(item.get_ref()))).collect()
            }
            Given::Toml(DeValue::Table(_)) => self.wrong("a list in brackets"),
            Given::Toml(DeValue::String(text)) => {
                self.wrong(&format!("a list in brackets: [\"{}\"]", mask::quoted(text)))
            }
            Given::Toml(value) => self.wrong(&format!("a list in brackets: [{}]", scalar(value))),
            Given::Env(text) if text.trim_start().starts_with('[') => match parsed(text) {
                Some(value @ DeValue::Array(_)) => Given::Toml(&value).items(read),
                _ => self.wrong("a list in brackets, or items with commas between them"),
            },
            Given::Env(text) => {
                text.split(',').map(|item| read(&Given::Env(item.trim()))).collect()
            }
        }
    }

    /// Another type than the one that is `wanted`.
    pub fn wrong<T>(&self, wanted: &str) -> Result<T, Refusal> {
        Err(Refusal::Type(format!("expected {wanted}; got {}", self.named())))
    }

    /// The type, and the value where it is short.
    fn named(&self) -> String {
        match self {
            Given::Env(text) => format!("`{}`", mask::quoted(text)),
            Given::Toml(DeValue::String(text)) => format!("the text \"{}\"", mask::quoted(text)),
            Given::Toml(DeValue::Array(_)) => "a list".into(),
            Given::Toml(DeValue::Table(_)) => "a table".into(),
            Given::Toml(DeValue::Datetime(_)) => "a date or time".into(),
            Given::Toml(value) => scalar(value),
        }
    }
}

/// A number, date or truth value as the file spells it.
fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => mask::quoted(&number.to_string()),
        DeValue::Float(number) => mask::quoted(number.as_str()),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => "…".into(),
    }
}

fn parsed(text: &str) -> Option<DeValue<'_>> {
    DeValue::parse(text.trim()).ok().map(Spanned::into_inner)
}
