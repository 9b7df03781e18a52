//! `oddsight score`: one line per picture.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use oddsight::camera::stored::Stored;
use oddsight::camera::{CameraErrorKind, FrameSource as _, Next};
use oddsight::image;
use oddsight::model::Scorer;
use oddsight::verdict::{Alpha, Verdict};
use serde_json::Value;

use super::EngineArgs;

/// Arguments of `oddsight score`.
#[derive(Args)]
pub struct ScoreArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Per-frame false-alarm rate, in place of the model's own.
    #[arg(long, value_name = "RATE")]
    alpha: Option<Alpha>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
    /// JPEG or PNG pictures, folders of them, or tar archives of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Scores all pictures; fails when some could not be read.
pub fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let model = args.engine.open(&args.model)?;
    let mut scorer = model.scorer_on(args.engine.threads()?)?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha)?;
    }
    let mut unread = 0;
    for path in &args.paths {
        unread += score_path(path, &mut scorer, args.json)?;
    }
    if unread > 0 {
        eprintln!("error: {unread} of the pictures could not be read");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the number of pictures that could not be read.
fn score_path(path: &Path, scorer: &mut Scorer, json: bool) -> Result<usize> {
    let is_archive = path.is_dir() || path.extension().is_some_and(|e| e == "tar");
    if !is_archive {
        let name = path.display().to_string();
        let read = std::fs::read(path).map_err(|e| e.to_string());
        return match read.and_then(|bytes| image::decode(&bytes).map_err(|e| e.to_string())) {
            Ok(picture) => say(&name, &scorer.score(&picture)?, json).map(|()| 0),
            Err(why) => {
                eprintln!("error: {name}: {why}");
                Ok(1)
            }
        };
    }
    let mut unread = 0;
    let mut camera = match Stored::open(path) {
        Ok(stored) => oddsight::camera::stored::StoredCamera::new(stored),
        Err(e) => {
            eprintln!("error: {e}");
            return Ok(1);
        }
    };
    loop {
        let why = match camera.next_frame(Duration::ZERO) {
            Ok(Next::Frame(frame)) => {
                let name = path.join(&frame.name).display().to_string();
                match frame.picture() {
                    Ok(picture) => {
                        say(&name, &scorer.score(&picture)?, json)?;
                        continue;
                    }
                    Err(e) => format!("{name}: {e}"),
                }
            }
            Ok(Next::Late | Next::Ended) => break,
            Err(e) => {
                eprintln!("error: {e}");
                unread += 1;
                if e.kind() != CameraErrorKind::Picture {
                    break;
                }
                continue;
            }
        };
        eprintln!("error: {why}");
        unread += 1;
    }
    Ok(unread)
}

fn say(name: &str, verdict: &Verdict, json: bool) -> Result<()> {
    if json {
        writeln!(stdout(), "{}", Value::Object(super::verdict_json(name, verdict)))?;
        return Ok(());
    }
    let word = if verdict.unusual { "UNUSUAL" } else { "normal " };
    let nearest = verdict.nearest.as_deref().unwrap_or("-");
    let shares: Vec<String> = verdict
        .heads
        .iter()
        .map(|head| match head.share {
            Some(share) => format!("{} {share:+.2}", head.id),
            None => format!("({} {:.3})", head.id, head.energy),
        })
        .collect();
    writeln!(
        stdout(),
        "{word}  energy {:>8.3}  p {:.4}  nearest {nearest:<12}  {}  {name}",
        verdict.energy,
        verdict.p_value,
        shares.join("  "),
    )?;
    Ok(())
}
