//! `oddsight run`: one line of JSON per frame of a source.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;
use oddsight::camera::stored::{Stored, StoredCamera};
use oddsight::camera::synth::{SynthCamera, SynthSpec};
use oddsight::camera::{CameraError, CameraErrorKind, FrameSource};
use oddsight::verdict::Alpha;
use serde_json::{Value, json};

use super::EngineArgs;

/// Arguments of `oddsight run`.
#[derive(Args)]
pub struct RunArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Where frames come from: dir:PATH, tar:FILE or synth:SEED.
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

/// A parsed `--source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    Dir(PathBuf),
    Tar(PathBuf),
    Synth(u64),
}

impl FromStr for SourceUri {
    type Err = String;

    fn from_str(text: &str) -> Result<SourceUri, String> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(SourceUri::Dir(path.into())),
            Some(("tar", path)) if !path.is_empty() => Ok(SourceUri::Tar(path.into())),
            Some(("synth", _)) => {
                let spec: SynthSpec = text.parse().map_err(|e: CameraError| e.to_string())?;
                Ok(SourceUri::Synth(spec.seed))
            }
            _ => Err(format!("source `{text}` is none of dir:PATH, tar:FILE, synth:SEED")),
        }
    }
}

impl SourceUri {
    fn open(&self) -> Result<Box<dyn FrameSource>, CameraError> {
        Ok(match self {
            SourceUri::Dir(path) => Box::new(StoredCamera::new(Stored::folder(path)?)),
            SourceUri::Tar(path) => Box::new(StoredCamera::new(Stored::tar(path)?)),
            SourceUri::Synth(seed) => Box::new(SynthCamera::once(*seed)),
        })
    }
}

/// Scores the source's frames until it ends, or for ever.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let mut camera = args.source.open()?;
    let model = args.engine.open(&args.model)?;
    let mut scorer = model.scorer_on(args.engine.threads()?)?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha)?;
    }
    let mut seq = 0u64;
    loop {
        let mut scored = 0u64;
        while let Some(frame) = camera.next_frame() {
            let line = match frame {
                Ok(frame) => {
                    scored += 1;
                    let verdict = scorer.score(&frame.picture)?;
                    let mut line = super::verdict_json(&frame.name, &verdict);
                    line.insert("seq".into(), json!(seq));
                    Value::Object(line)
                }
                Err(e) if e.kind() == CameraErrorKind::Picture => {
                    json!({ "seq": seq, "camera_fault": e.to_string() })
                }
                Err(e) => return Err(e.into()),
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
        camera = args.source.open()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_parsed_or_explained() {
        assert_eq!("dir:a:b".parse(), Ok(SourceUri::Dir("a:b".into())));
        assert_eq!("synth:7".parse(), Ok(SourceUri::Synth(7)));
        for wrong in ["", "dir:", "camera0", "synth:x"] {
            let why = wrong.parse::<SourceUri>().unwrap_err();
            assert!(why.contains("synth:SEED"), "{why}");
        }
    }
}
