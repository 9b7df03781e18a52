//! `oddsight run`: one line of JSON per frame of a source.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use oddsight::camera::{Next, SourceUri};
use oddsight::verdict::Alpha;
use serde_json::{Value, json};

use super::EngineArgs;

/// Arguments of `oddsight run`.
#[derive(Args)]
pub struct RunArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Where frames come from: v4l2:DEVICE, pipe:COMMAND, stdin:, dir:PATH, tar:FILE or synth:SEED.
    #[arg(long, value_name = "URI")]
    source: SourceUri,
    /// Per-frame false-alarm rate, in place of the model's own.
    #[arg(long, value_name = "RATE")]
    alpha: Option<Alpha>,
    /// Stop at the source's end; without this it starts over.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Scores the source's frames until it ends, or for ever.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let source = if args.once { args.source.clone().once() } else { args.source.clone() };
    let mut camera = source.open()?;
    let model = args.engine.open(&args.model)?;
    let mut scorer = model.scorer_on(args.engine.threads()?)?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha)?;
    }
    let mut seq = 0u64;
    loop {
        let mut scored = 0u64;
        loop {
            let frame = match camera.next_frame(Duration::MAX) {
                Ok(Next::Frame(frame)) => frame
                    .picture()
                    .map(|picture| (frame.name.clone(), picture.into_owned()))
                    .map_err(|e| format!("{}: {e}", frame.name)),
                Ok(Next::Late | Next::Ended) => break,
                Err(e) if e.is_passing() => Err(e.to_string()),
                Err(e) => return Err(e.into()),
            };
            let line = match frame {
                Ok((name, picture)) => {
                    scored += 1;
                    let verdict = scorer.score(&picture)?;
                    let mut line = super::verdict_json(&name, &verdict);
                    line.insert("seq".into(), json!(seq));
                    Value::Object(line)
                }
                Err(why) => json!({ "seq": seq, "camera_fault": why }),
            };
            writeln!(stdout(), "{line}")?;
            seq += 1;
        }
        if scored == 0 {
            bail!("the source gave no frame that could be scored");
        }
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
        camera = source.open()?;
    }
}
