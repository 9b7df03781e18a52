//! The `[[gpio]]` sections of a configuration, and nothing else of it.
//!
//! `gpio safe` runs when the service has failed, perhaps for a mistake in the very file. So it reads only what it needs,
//! keeps going where it can, and leaves judging the file to `oddsight config check`.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow};
use oddsight::sink::gpio::GpioSettings;
use toml::{Table, Value};

/// What each section says of its line, with overrides such as `ODDSIGHT_GPIO__0__LINE` from `environment`.
///
/// # Errors
///
/// Only when the text is no TOML at all; a section that makes no sense is an error in its place.
pub fn gpio(
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Result<GpioSettings>>> {
    let mut file: Table = text.parse().context("not TOML")?;
    let mut sections: Vec<Table> = match file.remove("gpio") {
        Some(Value::Array(sections)) => {
            sections.into_iter().filter_map(|s| s.try_into().ok()).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in environment {
        if let Some((index, key)) = overridden(&name)
            && let Some(section) = sections.get_mut(index)
        {
            section.insert(key, Value::String(value));
        }
    }
    Ok(sections.iter().map(settings).collect())
}

/// `ODDSIGHT_GPIO__1__SAFE` is key `safe` of section 1.
fn overridden(name: &str) -> Option<(usize, String)> {
    let (index, key) = name.strip_prefix("ODDSIGHT_GPIO__")?.split_once("__")?;
    Some((index.parse().ok()?, key.to_ascii_lowercase()))
}

/// Reads the keys that lead to the line and its safe level.
fn settings(section: &Table) -> Result<GpioSettings> {
    let mut settings = GpioSettings::default();
    if let Some(backend) = text(section, "backend")? {
        settings.backend = backend;
    }
    if let Some(chip) = text(section, "chip")? {
        settings.chip = chip;
    }
    if let Some(safe) = text(section, "safe")? {
        settings.safe = safe;
    }
    settings.line = match section.get("line") {
        Some(Value::Integer(line)) => u32::try_from(*line).ok(),
        Some(Value::String(line)) => line.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| anyhow!("line: write the number of the line"))?;
    Ok(settings)
}

fn text<T: FromStr>(section: &Table, key: &str) -> Result<Option<T>>
where
    T::Err: Display,
{
    match section.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(anyhow!("{key}: {e}")),
        },
        Some(_) => Err(anyhow!("{key}: write a text in quotes")),
    }
}

#[cfg(test)]
mod tests {
    use oddsight::gpio::{Backend, Level};

    use super::*;

    #[test]
    fn only_the_lines_are_read() {
        let file = r#"
            nonsense = true
            [mqtt]
            url = 7
            [[gpio]]
            backend = "sim:/run/a"
            line = 4
            safe = "high"
            colour = "red"
            [[gpio]]
            safe = "up"
            line = 5
            [[gpio]]
            line = -1
            [[gpio]]
            line = 6
        "#;
        let change = |name: &str, value: &str| (name.to_string(), value.to_string());
        let environment = [
            change("ODDSIGHT_GPIO__3__LINE", "22"),
            change("ODDSIGHT_GPIO__3__CHIP", "pinctrl-rp1"),
            change("ODDSIGHT_GPIO__9__LINE", "1"),
            change("ODDSIGHT_GPIO__x__LINE", "1"),
            change("ODDSIGHT_LOG__LEVEL", "info"),
        ];
        let found = gpio(file, environment.into_iter()).unwrap();
        let [first, second, third, fourth] = &found[..] else { panic!("{found:?}") };
        let first = first.as_ref().unwrap();
        assert_eq!(first.backend, Backend::Sim("/run/a".into()));
        assert_eq!((first.line, first.safe), (4, Level::High));
        assert!(second.as_ref().unwrap_err().to_string().contains("safe: level `up`"));
        assert!(third.as_ref().unwrap_err().to_string().contains("line"));
        let fourth = fourth.as_ref().unwrap();
        assert_eq!((fourth.line, fourth.safe), (22, Level::Low));
        assert_eq!(fourth.chip.to_str(), Some("pinctrl-rp1"));
    }

    #[test]
    fn a_file_without_lines_has_none() {
        assert!(gpio("", std::iter::empty()).unwrap().is_empty());
        assert!(gpio("gpio = 3", std::iter::empty()).unwrap().is_empty());
        assert!(gpio("[", std::iter::empty()).is_err());
    }
}
