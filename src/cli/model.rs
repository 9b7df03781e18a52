//! `oddsight model`: the models of a device.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use oddsight::config::{self, Config};
use oddsight::gate::Region;
use oddsight::model::Model;
use oddsight::model::store::{Installed, MANIFEST_FILE, Manifest, PublicKey, Store, Trust};
use oddsight::runtime::honours;
use serde_json::json;

/// Arguments of `oddsight model`.
#[derive(Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a model, its self-test included, and put it into use; the one before is kept.
    Install(InstallArgs),
    /// Say which models are there.
    List(ListArgs),
    /// Put the model before the current one into use again.
    Back(StoreArgs),
    /// Write manifest.json into a model directory, to be signed with `minisign -Sm manifest.json`.
    Manifest(ManifestArgs),
}

/// Which store.
#[derive(Args)]
struct StoreArgs {
    /// Configuration that names the store (model.dir) and the key of its models (model.public_key).
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// The store's folder.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Args)]
struct InstallArgs {
    /// Model directory, or a tar of one.
    #[arg(value_name = "DIR|FILE.tar")]
    source: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// Install it even if its version is older than one that was installed before.
    #[arg(long)]
    force: bool,
    /// Minisign public key that must have signed it, in place of the configuration's.
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// One object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ManifestArgs {
    /// Model directory.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Its version; a device takes none that is smaller than one it had before.
    #[arg(long, value_name = "N")]
    version: u64,
}

/// Runs the command.
pub fn run(args: &ModelArgs) -> Result<()> {
    match &args.command {
        Command::Install(args) => install(args),
        Command::List(args) => list(args),
        Command::Back(args) => {
            let back = args.open()?.0.back()?;
            Ok(writeln!(stdout(), "current: {}", said(&back))?)
        }
        Command::Manifest(args) => manifest(&args.dir, args.version),
    }
}

impl StoreArgs {
    /// The store, and the configuration of the device that uses it, if there is one.
    fn open(&self) -> Result<(Store, Option<Config>)> {
        match (&self.config, &self.store) {
            (Some(path), _) => {
                let config = Config::load(path, &config::environment())?;
                Ok((Store::at(&config.model.dir), Some(config)))
            }
            (None, Some(dir)) => Ok((Store::at(dir), None)),
            (None, None) => super::missing("give --config FILE or --store DIR"),
        }
    }
}

fn install(args: &InstallArgs) -> Result<()> {
    let (store, config) = args.store.open()?;
    let configured = config.as_ref().and_then(|config| config.model.public_key.clone());
    let trust = Trust { public_key: args.key.clone().or(configured), force: args.force };
    let installed = store.install_if(&args.source, &trust, &|model| match &config {
        Some(config) => fits(model, config),
        None => Ok(()),
    });
    let installed = installed.map_err(|e| e.of_source(&args.source))?;
    writeln!(stdout(), "current: {}", said(&installed))?;
    if let Some(previous) = store.previous()? {
        writeln!(stdout(), "previous: {}", said(&previous))?;
    }
    Ok(())
}

/// Whether a device can run with this model: one that it would refuse when it is started must not come into use.
fn fits(model: &Model, config: &Config) -> Result<(), String> {
    let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>();
    let regions = regions.map_err(|e| e.to_string())?;
    let honoured = honours(model, config.model.alpha, &regions);
    honoured.map(drop).map_err(|e| format!("model.alpha: {e}"))
}

fn list(args: &ListArgs) -> Result<()> {
    let (store, _) = args.store.open()?;
    let (current, previous) = (store.current()?, store.previous()?);
    if args.json {
        let object = |model: &Installed| json!({ "number": model.number, "version": model.version, "dir": model.dir });
        let previous = previous.as_ref().map(object);
        writeln!(stdout(), "{}", json!({ "current": object(&current), "previous": previous }))?;
        return Ok(());
    }
    writeln!(stdout(), "current:  {}", said(&current))?;
    match previous {
        Some(previous) => writeln!(stdout(), "previous: {}", said(&previous))?,
        None => writeln!(stdout(), "previous: none")?,
    }
    Ok(())
}

fn manifest(dir: &Path, version: u64) -> Result<()> {
    let manifest = Manifest::of(dir, version).with_context(|| dir.display().to_string())?;
    let path = dir.join(MANIFEST_FILE);
    let text = serde_json::to_string_pretty(&manifest)?;
    oddsight::storage::replace(&path, format!("{text}\n").as_bytes())
        .with_context(|| path.display().to_string())?;
    Ok(writeln!(
        stdout(),
        "{}: version {version}, {} files",
        path.display(),
        manifest.sha256.len()
    )?)
}

fn said(model: &Installed) -> String {
    format!("model {}, version {}, {}", model.number, model.version, model.dir.display())
}
