//! From a file to a configuration.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::document::{Document, PREFIX};
use super::error::{ConfigError, ConfigErrorKind, Problem, position};
use super::keys::{Entry, Keys};
use super::{Config, check, unknown};

/// Largest file that is looked at: a configuration has some kilobytes.
const MOST_BYTES: usize = 256 * 1024;

/// A configuration, where each of its values comes from, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Explained {
    pub config: Config,
    path: PathBuf,
    entries: Vec<Entry>,
    warnings: Vec<Problem>,
}

/// The variables of this process that a configuration looks at.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .filter(|(name, _)| name.starts_with(PREFIX) || check::VARIABLES.contains(&name.as_str()))
        .collect()
}

impl Explained {
    /// As [`Config::load`].
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load(path: &Path, env: &[(String, String)]) -> Result<Explained, ConfigError> {
        let bytes = read(path).map_err(|why| ConfigError::unreadable(path, why))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Explained::parse(text, path, env),
            Err(e) => {
                let valid = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
                let why = "this is no text in UTF-8: save the file as UTF-8".to_string();
                let place = position(&valid, valid.len());
                let problem = Problem::new(ConfigErrorKind::Read, place, String::new(), why);
                Err(ConfigError::new(path, vec![problem], 0))
            }
        }
    }

    /// As [`Config::parse`].
    ///
    /// # Errors
    ///
    /// As [`Config::parse`].
    pub fn parse(
        text: &str,
        path: &Path,
        env: &[(String, String)],
    ) -> Result<Explained, ConfigError> {
        if text.len() > MOST_BYTES {
            return Err(ConfigError::unreadable(path, too_large()));
        }
        let document = Document::new(text, env);
        let mut keys = Keys::new(&document);
        let mut config = Config::without_outlets();
        config.visit(&mut keys);
        unknown::refuse(&mut keys);
        let warnings = check::check(&config, &mut keys, env);
        if !keys.problems.is_empty() {
            return Err(ConfigError::new(path, keys.problems, keys.more));
        }
        Ok(Explained { config, path: path.to_path_buf(), entries: keys.entries, warnings })
    }

    /// What works, but hardly as somebody meant it: `file:line:column: key: what; remedy`.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.warnings.iter().map(|warning| warning.line(&self.path))
    }

    /// The same for a person at a terminal.
    pub fn explain_warnings(&self) -> String {
        self.warnings.iter().map(|warning| warning.explain("warning", &self.path)).collect()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file's name without its folder: for comments beside values.
    pub(super) fn file_name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

fn too_large() -> String {
    format!("more than {} kB cannot be a configuration", MOST_BYTES / 1024)
}

/// The file's bytes, or why there are none.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let explained = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => {
            format!(
                "there is no such file; `oddsight config init --out {}` writes one",
                path.display()
            )
        }
        ErrorKind::IsADirectory => "this is a folder; name the file in it".to_string(),
        ErrorKind::PermissionDenied => {
            "may not be read by this user; change its owner or mode (chmod a+r)".to_string()
        }
        _ => e.to_string(),
    };
    let mut bytes = Vec::new();
    // Opening a pipe would wait for somebody who writes to it.
    let found = path.metadata().map_err(explained)?;
    if !found.is_file() && !found.is_dir() {
        return Err("this is no plain file; a configuration is one".into());
    }
    let file = File::open(path).map_err(explained)?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(explained)?;
    if bytes.len() > MOST_BYTES { Err(too_large()) } else { Ok(bytes) }
}
