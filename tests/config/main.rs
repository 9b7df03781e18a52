//! The configuration as its users meet it: what is read, what is refused and in which words.

use std::path::Path;

use oddsight::config::{Config, ConfigError, Explained};

mod environment;
mod files;
mod hostile;
mod messages;
mod program;
mod reload;

/// The two keys that every file has.
const LEAST: &str = "[model]\ndir = \"/m\"\n[camera]\nsource = \"synth:1\"\n";

/// Variables of the environment.
fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What `text` gives as `my.toml`.
fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("my.toml"), &env(variables))
}

/// The configuration of [`LEAST`] and `more`.
fn with(more: &str) -> Config {
    parse(&format!("{LEAST}{more}"), &[]).unwrap_or_else(|e| panic!("{more}: {}", e.explain()))
}

fn explained(text: &str, variables: &[(&str, &str)]) -> Explained {
    Explained::parse(text, Path::new("my.toml"), &env(variables))
        .unwrap_or_else(|e| panic!("{}", e.explain()))
}
