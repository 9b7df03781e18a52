//! Kinds of values: what is allowed, how it is read, and how it is written.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use super::given::{Given, Refusal};
use super::mask;

type Read<T> = Box<dyn Fn(&Given<'_>) -> Result<T, Refusal>>;
type Write<T> = Box<dyn Fn(&T) -> Option<String>>;

/// What a key's value may be.
pub(super) struct Kind<T> {
    /// For people: `1 to 256`, `"hold" or "pulse"`.
    pub allowed: String,
    /// A file or folder of the machine.
    pub is_path: bool,
    pub read: Read<T>,
    /// As TOML; `None` if there is none.
    pub write: Write<T>,
    /// What of the TOML may be shown: no secrets.
    pub show: fn(&str) -> String,
}

impl<T: 'static> Kind<T> {
    fn new(
        allowed: impl Into<String>,
        read: impl Fn(&Given<'_>) -> Result<T, Refusal> + 'static,
        write: impl Fn(&T) -> String + 'static,
    ) -> Kind<T> {
        Kind {
            allowed: allowed.into(),
            is_path: false,
            read: Box::new(read),
            write: Box::new(move |value| Some(write(value))),
            show: mask::secrets,
        }
    }

    /// The same with another wording of what is allowed.
    pub fn said(self, allowed: &str) -> Kind<T> {
        Kind { allowed: allowed.into(), ..self }
    }

    /// The same, refusing what `check` has an objection against.
    pub fn checked(self, check: impl Fn(&T) -> Result<(), String> + 'static) -> Kind<T> {
        let read = self.read;
        let read = move |given: &Given<'_>| {
            let value = read(given)?;
            check(&value).map_err(Refusal::Value)?;
            Ok(value)
        };
        Kind { read: Box::new(read), ..self }
    }
}

/// A value that may be left out.
pub(super) fn optional<T: 'static>(kind: Kind<T>) -> Kind<Option<T>> {
    let Kind { allowed, is_path, read, write, show } = kind;
    Kind {
        allowed,
        is_path,
        show,
        read: Box::new(move |given| read(given).map(Some)),
        write: Box::new(move |value| value.as_ref().and_then(&write)),
    }
}

/// Any number of values.
pub(super) fn list<T: 'static>(kind: Kind<T>) -> Kind<Vec<T>> {
    let Kind { allowed, read, write, .. } = kind;
    Kind::new(
        format!("a list of {allowed}"),
        move |given| given.items(&read),
        move |values: &Vec<T>| bracketed(values.iter().filter_map(&write)),
    )
}

/// As many values as `N`.
pub(super) fn array<T: Debug + 'static, const N: usize>(
    kind: Kind<T>,
    form: &'static str,
) -> Kind<[T; N]> {
    let Kind { allowed, read, write, .. } = kind;
    Kind::new(
        format!("{form}, each {allowed}"),
        move |given| {
            let values = given.items(&read)?;
            let count = values.len();
            values
                .try_into()
                .or_else(|_| Refusal::value(format!("has {count} numbers; write {N}: {form}")))
        },
        move |values: &[T; N]| bracketed(values.iter().filter_map(&write)),
    )
}

fn bracketed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A whole number. `unit` stands behind it in messages, and may be empty.
pub(super) fn whole<T>(range: RangeInclusive<T>, unit: &'static str) -> Kind<T>
where
    T: Copy + Display + TryFrom<u64> + 'static,
    u64: TryFrom<T>,
{
    let bound = |value: T| u64::try_from(value).unwrap_or(u64::MAX);
    let (least, most) = (bound(*range.start()), bound(*range.end()));
    let allowed = with_unit(&format!("{least} to {most}"), unit);
    Kind::new(
        allowed.clone(),
        move |given| {
            let number = given.whole()?;
            let within: Option<u64> = number.try_into().ok();
            let within = within.filter(|n| (least..=most).contains(n));
            match within.and_then(|n| T::try_from(n).ok()) {
                Some(value) => Ok(value),
                None => Refusal::value(out_of_range(number, (least, most), &allowed, unit)),
            }
        },
        |value| value.to_string(),
    )
}

fn out_of_range(number: i128, (least, most): (u64, u64), allowed: &str, unit: &str) -> String {
    let shown = match number {
        i128::MIN | i128::MAX => "the number".to_string(),
        number => with_unit(&number.to_string(), unit),
    };
    let mut why = format!("{shown} is out of range: {allowed}");
    // Somebody thought in seconds.
    let thousandfold: Option<u64> = number.checked_mul(1000).and_then(|n| n.try_into().ok());
    if let Some(ms) = thousandfold.filter(|n| unit == "ms" && (least..=most).contains(n)) {
        why += &format!("; {number} s are {ms}");
    }
    why
}

fn with_unit(text: &str, unit: &str) -> String {
    if unit.is_empty() { text.to_string() } else { format!("{text} {unit}") }
}

/// A number, with or without a point, never infinite.
pub(super) fn number(range: RangeInclusive<f64>, unit: &'static str) -> Kind<f64> {
    let allowed = with_unit(&format!("{} to {}", range.start(), range.end()), unit);
    Kind::new(
        allowed.clone(),
        move |given| {
            let number = given.number()?;
            // Not a number is in no range.
            if range.contains(&number) {
                return Ok(number);
            }
            let shown = with_unit(&format!("{number:?}"), unit);
            Refusal::value(format!("{shown} is out of range: {allowed}"))
        },
        |value| format!("{value:?}"),
    )
}

/// `true` or `false`.
pub(super) fn switch() -> Kind<bool> {
    Kind::new("true or false", |given| given.switch(), bool::to_string)
}

/// A text that is not empty.
pub(super) fn text(allowed: &'static str) -> Kind<String> {
    Kind::new(allowed, |given| filled(given).map(str::to_string), |text| toml_text(text))
}

fn filled<'a>(given: &'a Given<'_>) -> Result<&'a str, Refusal> {
    let text = given.text()?;
    if text.trim().is_empty() {
        return Refusal::value("is empty: give a value, or remove the line");
    }
    if text.contains('\0') {
        return Refusal::value("holds a NUL character; remove it");
    }
    Ok(text)
}

/// A text that makes a `T`.
pub(super) fn parsed<T>(allowed: &'static str) -> Kind<T>
where
    T: FromStr<Err: Display> + Display + 'static,
{
    parsed_by(
        allowed,
        |text| text.parse().map_err(|e: T::Err| mask::secrets(&e.to_string())),
        T::to_string,
    )
}

/// A text that `read` makes a `T` of.
pub(super) fn parsed_by<T: 'static>(
    allowed: &'static str,
    read: impl Fn(&str) -> Result<T, String> + 'static,
    write: impl Fn(&T) -> String + 'static,
) -> Kind<T> {
    Kind::new(
        allowed,
        move |given| read(filled(given)?).map_err(Refusal::Value),
        move |value| toml_text(&write(value)),
    )
}

/// A file or folder.
pub(super) fn path() -> Kind<PathBuf> {
    let read = |given: &Given<'_>| {
        let text = filled(given)?;
        if text.starts_with('~') || text.starts_with('$') {
            let shown = mask::quoted(text);
            let why = format!("`{shown}`: no shell expands it here; write the whole path");
            return Refusal::value(why);
        }
        Ok(PathBuf::from(text))
    };
    let write = |path: &PathBuf| toml_text(&path.to_string_lossy());
    Kind { is_path: true, ..Kind::new("a path", read, write) }
}

/// One of some names.
pub(super) fn choice<T: Copy + PartialEq + 'static>(
    names: &'static [(&'static str, T)],
) -> Kind<T> {
    let allowed = one_of(names.iter().map(|(name, _)| *name));
    let message = allowed.clone();
    Kind::new(
        allowed,
        move |given| {
            let text = given.text()?;
            match names.iter().find(|(name, _)| *name == text) {
                Some((_, value)) => Ok(*value),
                None => {
                    let shown = mask::quoted(text);
                    Refusal::value(format!("\"{shown}\" is none of the choices: {message}"))
                }
            }
        },
        move |value| match names.iter().find(|(_, named)| named == value) {
            Some((name, _)) => toml_text(name),
            None => toml_text(""),
        },
    )
}

/// `"a", "b" or "c"`
fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    match quoted.pop() {
        Some(last) if !quoted.is_empty() => format!("{} or {last}", quoted.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// As a TOML string.
pub(super) fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}
