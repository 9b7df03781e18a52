//! The `[[gpio]]` sections of a configuration, and nothing else of it.
//!
//! `gpio safe` runs when the service has failed, perhaps for a mistake in the very file. So it reads only what it needs,
//! goes on behind mistakes where it can, and leaves judging the file to `oddsight config check`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow};
use oddsight::sink::gpio::GpioSettings;
use toml::de::{DeTable, DeValue};

/// Keys and values as they would stand in the environment.
type Section = BTreeMap<String, String>;

/// What a file says of its lines.
pub struct Tables {
    /// One for each section; a section that makes no sense is an error in its place.
    pub lines: Vec<Result<GpioSettings>>,
    /// What is no TOML, for people.
    pub mistakes: Vec<String>,
}

/// Reads the file's text, with overrides such as `ODDSIGHT_GPIO__0__LINE` from `environment`.
pub fn gpio(text: &str, environment: impl Iterator<Item = (String, String)>) -> Tables {
    let (file, mistakes) = DeTable::parse_recoverable(text);
    let mut sections: Vec<Section> = match file.get_ref().get("gpio").map(|gpio| gpio.get_ref()) {
        Some(DeValue::Array(sections)) => {
            sections.iter().map(|section| spelt(section.get_ref())).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in environment {
        if let Some((index, key)) = overridden(&name)
            && let Some(section) = sections.get_mut(index)
        {
            section.insert(key, value);
        }
    }
    // Behind a mistake a level may hide that was meant to be read.
    let whole = mistakes.is_empty();
    let line = |section: &Section| match section.contains_key("safe") || whole {
        true => settings(section),
        false => Err(anyhow!("safe: not to be found in a file with mistakes, so not guessed")),
    };
    Tables {
        lines: sections.iter().map(line).collect(),
        mistakes: mistakes.iter().map(|e| e.to_string().trim_end().to_string()).collect(),
    }
}

/// `ODDSIGHT_GPIO__1__SAFE` is key `safe` of section 1.
fn overridden(name: &str) -> Option<(usize, String)> {
    let (index, key) = name.strip_prefix("ODDSIGHT_GPIO__")?.split_once("__")?;
    Some((index.parse().ok()?, key.to_ascii_lowercase()))
}

/// The texts and whole numbers of a section.
fn spelt(section: &DeValue<'_>) -> Section {
    let DeValue::Table(table) = section else { return Section::new() };
    let entries = table.iter().map(|(key, value)| {
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    Err(_) => number.to_string(),
                }
            }
            // No key of a line takes any of the others, so it is refused under its own name.
            other => format!("a {}", other.type_str()),
        };
        (key.get_ref().to_string(), value)
    });
    entries.collect()
}

/// Reads the keys that lead to the line and its safe level.
fn settings(section: &Section) -> Result<GpioSettings> {
    let defaults = GpioSettings::default();
    Ok(GpioSettings {
        backend: read(section, "backend")?.unwrap_or(defaults.backend),
        chip: read(section, "chip")?.unwrap_or(defaults.chip),
        safe: read(section, "safe")?.unwrap_or(defaults.safe),
        line: read(section, "line")?.context("line: write the number of the line")?,
        ..GpioSettings::default()
    })
}

fn read<T: FromStr>(section: &Section, key: &str) -> Result<Option<T>>
where
    T::Err: Display,
{
    let read = section.get(key).map(|text| text.trim().parse());
    read.transpose().map_err(|e| anyhow!("{key}: {e}"))
}

#[cfg(test)]
mod tests {
    use oddsight::gpio::{Backend, Level};

    use super::*;

    fn lines(text: &str) -> Vec<Result<GpioSettings>> {
        gpio(text, std::iter::empty()).lines
    }

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
            colour = { red = 1 }
            [[gpio]]
            safe = "up"
            line = 5
            [[gpio]]
            line = -1
            [[gpio]]
            line = 0x10
        "#;
        let change = |name: &str, value: &str| (name.to_string(), value.to_string());
        let environment = [
            change("ODDSIGHT_GPIO__3__SAFE", "high"),
            change("ODDSIGHT_GPIO__3__CHIP", "pinctrl-rp1"),
            change("ODDSIGHT_GPIO__9__LINE", "1"),
            change("ODDSIGHT_GPIO__x__LINE", "1"),
            change("ODDSIGHT_LOG__LEVEL", "info"),
        ];
        let found = gpio(file, environment.into_iter());
        assert!(found.mistakes.is_empty());
        let [first, second, third, fourth] = &found.lines[..] else { panic!("{:?}", found.lines) };
        let first = first.as_ref().unwrap();
        assert_eq!(first.backend, Backend::Sim("/run/a".into()));
        assert_eq!((first.line, first.safe), (4, Level::High));
        assert!(second.as_ref().unwrap_err().to_string().contains("safe: level `up`"));
        assert!(third.as_ref().unwrap_err().to_string().contains("line"));
        let fourth = fourth.as_ref().unwrap();
        assert_eq!((fourth.line, fourth.safe), (16, Level::High));
        assert_eq!(fourth.chip.to_str(), Some("pinctrl-rp1"));
    }

    #[test]
    fn a_file_without_lines_has_none() {
        for text in ["", "gpio = 3", "[", "\0", "[gpio]\nline = 1"] {
            assert!(lines(text).is_empty(), "{text:?}");
        }
        assert!(lines("gpio = [3]")[0].is_err());
    }

    #[test]
    fn mistakes_elsewhere_hide_no_line() {
        let line = "[[gpio]]\nline = 3\nsafe = \"high\"\n";
        for mistake in ["url = \n", "[a]\n[a]\n", "x = \"abc\n", "== 3\n"] {
            for file in [format!("{mistake}{line}"), format!("{line}{mistake}")] {
                let found = gpio(&file, std::iter::empty());
                assert!(!found.mistakes.is_empty(), "{file}");
                let [Ok(settings)] = &found.lines[..] else { panic!("{file}: {:?}", found.lines) };
                assert_eq!((settings.line, settings.safe), (3, Level::High), "{file}");
            }
        }
    }

    #[test]
    fn a_level_that_cannot_be_read_is_not_guessed() {
        for safe in ["safe = high", "safe high", "safe =", "safe", "safe = [", "safe = \"high"] {
            let file = format!("[[gpio]]\nline = 3\n{safe}\n");
            let found = gpio(&file, std::iter::empty());
            assert!(!found.mistakes.is_empty(), "{file}");
            let line = found.lines.into_iter().next();
            let level = line.and_then(Result::ok).map(|settings| settings.safe);
            assert!(matches!(level, None | Some(Level::High)), "{file}: {level:?}");
        }
    }
}
