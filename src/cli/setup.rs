//! What a command watches: a configuration's camera and model, or those of the command line.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use oddsight::camera::SourceUri;
use oddsight::config::{self, Config, ConfigError, Explained};

/// A configuration, or a model and a source.
#[derive(Args)]
pub struct SetupArgs {
    /// Configuration; `oddsight config init` writes one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Model directory or store, in place of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Where frames come from, in place of the configuration's: dir:PATH, tar:FILE, v4l2:DEVICE, pipe:COMMAND, …
    #[arg(long, value_name = "URI")]
    pub source: Option<SourceUri>,
}

impl SetupArgs {
    /// What to watch; without a configuration, with no outlets.
    pub fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => read(path)?,
            None if self.model.is_none() || self.source.is_none() => {
                super::missing("give --config FILE, or --model DIR and --source URI")
            }
            None => Config::without_outlets(),
        };
        if let Some(model) = &self.model {
            config.model.dir.clone_from(model);
        }
        if let Some(source) = &self.source {
            config.camera.source = source.clone();
        }
        Ok(config)
    }
}

/// Reads a configuration with the environment laid over it; warnings go to standard error.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let explained = Explained::load(path, &config::environment())?;
    eprint!("{}", explained.explain_warnings());
    Ok(explained.config)
}
