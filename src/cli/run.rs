//! `oddsight run`: the camera box, or one line of JSON per frame of a source.

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use oddsight::camera::{Faults, Next};
use oddsight::clock::System;
use oddsight::runtime::{self, Options, RuntimeErrorKind, Signals};
use oddsight::verdict::Alpha;
use serde_json::{Value, json};

use super::EngineArgs;
use super::config::CONFIG_EXIT;
use super::setup::SetupArgs;

/// Arguments of `oddsight run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Per-frame false-alarm rate, in place of the model's own.
    #[arg(long, value_name = "RATE", conflicts_with = "config")]
    alpha: Option<Alpha>,
    /// Stop at the source's end; without this it starts over. A configuration's source is never started over.
    #[arg(long, conflicts_with = "config")]
    once: bool,
    /// Faults to inject into a configuration's source, to try a device out: drop=0.01,corrupt=0.01,truncate=0.01,
    /// freeze=0.001,stall=0.001,disconnect=0.0005,seed=7.
    #[arg(long, value_name = "RATES", requires = "config")]
    faults: Option<Faults>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the device of a configuration, or prints the verdicts on a source.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    if args.setup.config.is_some() { device(args) } else { print(args) }
}

fn device(args: &RunArgs) -> Result<ExitCode> {
    let config = args.setup.config()?;
    oddsight::logger::set_level(config.log.level.filter());
    let signals = Signals::listen()?;
    let options = Options { faults: args.faults };
    let mut read_config = || match args.setup.config() {
        Ok(config) => Some(config),
        Err(e) => {
            super::config::failure(&e);
            log::error!("the configuration stays as it was");
            None
        }
    };
    match runtime::run(config, &options, Arc::new(System), &signals, &mut read_config) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(e) if e.kind() == RuntimeErrorKind::Config => {
            eprintln!("error: {e}");
            Ok(ExitCode::from(CONFIG_EXIT))
        }
        Err(e) => Err(e.into()),
    }
}

/// Prints one line for each frame until the source ends, or for ever.
fn print(args: &RunArgs) -> Result<ExitCode> {
    let config = args.setup.config()?;
    let source = config.camera.source;
    let source = if args.once { source.once() } else { source };
    let mut camera = source.open()?;
    let model = args.engine.open(&config.model.dir)?;
    let mut scorer = model.scorer_on(args.engine.threads()?)?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha)?;
    }
    let mut seq = 0u64;
    loop {
        let mut scored = 0u64;
        let mut last_fault = None;
        loop {
            let frame = match camera.next_frame(Duration::from_secs(1)) {
                Ok(Next::Frame(frame)) => frame,
                Ok(Next::Late) => continue,
                Ok(Next::Ended) => break,
                Err(e) if e.is_passing() => {
                    writeln!(stdout(), "{}", json!({ "seq": seq, "camera_fault": e.to_string() }))?;
                    last_fault = Some(e.to_string());
                    seq += 1;
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let line = match frame.picture() {
                Ok(picture) => {
                    scored += 1;
                    let verdict = scorer.score(&picture)?;
                    let mut line = super::verdict_json(&frame.name, &verdict);
                    line.insert("seq".into(), json!(seq));
                    Value::Object(line)
                }
                Err(e) => {
                    let why = format!("{}: {e}", frame.name);
                    let line = json!({ "seq": seq, "camera_fault": why });
                    last_fault = Some(why);
                    line
                }
            };
            writeln!(stdout(), "{line}")?;
            seq += 1;
        }
        if scored == 0 {
            let why = last_fault.map(|why| format!(": {why}")).unwrap_or_default();
            bail!("the source gave no frame that could be scored{why}");
        }
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
        camera = source.open()?;
    }
}
