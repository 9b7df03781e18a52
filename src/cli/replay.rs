//! `oddsight replay`: what other settings would have made of what was seen before.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::camera::stored::{Stored, StoredCamera};
use oddsight::camera::{FrameSource as _, Next};
use oddsight::clock::Stamp;
use oddsight::event::AlarmSettings;
use oddsight::event::replay::{ScoredFrame, Summary, replay};
use oddsight::sink::journal::{Reader, Record, ScoreLine, Skipped};
use oddsight::verdict::Alpha;
use serde_json::json;

use super::{EngineArgs, setup};

/// Arguments of `oddsight replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// A journal (its folder, or one segment of it), or pictures: a folder or a tar, which `--model` scores.
    #[arg(value_name = "JOURNAL|DIR")]
    seen: PathBuf,
    /// Per-frame false-alarm rate; several are compared.
    #[arg(long, value_name = "RATE", required = true, num_args = 1.., value_delimiter = ',')]
    alpha: Vec<Alpha>,
    /// Configuration whose section [alarm] decides, in place of the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// So many flagged frames …
    #[arg(long, value_name = "K")]
    raise: Option<u32>,
    /// … of so many in a row raise an alarm.
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// Most alarms in a day.
    #[arg(long, value_name = "N")]
    budget_per_day: Option<u32>,
    /// Model directory that scores pictures.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Pictures per second, as they were taken.
    #[arg(long, value_name = "FPS", default_value_t = 1.0, requires = "model")]
    fps: f64,
    /// One object for each alpha.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Replays with each alpha.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let mut settings = match &args.config {
        None => AlarmSettings::default(),
        Some(path) => setup::read(path)?.alarm,
    };
    settings.raise = args.raise.unwrap_or(settings.raise);
    settings.window = args.window.unwrap_or(settings.window);
    settings.budget_per_day = args.budget_per_day.unwrap_or(settings.budget_per_day);
    ensure!(
        (1..=settings.window).contains(&settings.raise),
        "--raise {} of --window {} frames: 1 to {} can be flagged",
        settings.raise,
        settings.window,
        settings.window
    );
    let frames = match &args.model {
        Some(dir) => pictures(args, dir)?,
        None => Vec::new(),
    };
    let mut reported = Skipped::default();
    for &alpha in &args.alpha {
        let summary = match &args.model {
            Some(_) => replay(frames.iter().cloned(), alpha, &settings),
            // Read anew for each alpha: a journal may be larger than memory.
            None => {
                let mut journal = Reader::open(&args.seen)?;
                let summary = replay(scores(&mut journal), alpha, &settings);
                super::events::warn_of(journal.skipped(), &mut reported);
                summary
            }
        };
        ensure!(
            summary.frames > 0,
            "{}: no scores in it; a journal keeps them with journal.scores = true, and pictures need --model DIR",
            args.seen.display()
        );
        if args.json { write_json(&summary)? } else { write!(stdout(), "{summary}")? }
    }
    Ok(())
}

/// The scores of a journal.
fn scores(journal: &mut Reader) -> impl Iterator<Item = ScoredFrame> {
    journal.filter_map(|record| match record {
        Record::Score(line) => Some(scored(line)),
        _ => None,
    })
}

fn scored(line: ScoreLine) -> ScoredFrame {
    ScoredFrame {
        at: line.at,
        region: line.region,
        energy: oddsight::energy::from_q16(line.energy_q16),
        p_value: line.p_value,
        nearest: None,
        light_jumped: line.light_jumped,
    }
}

/// Scores pictures, taken one after the other.
fn pictures(args: &ReplayArgs, dir: &std::path::Path) -> Result<Vec<ScoredFrame>> {
    ensure!(args.fps > 0.0, "--fps {} is no rate; try 1", args.fps);
    let model = args.engine.open(dir)?;
    let mut scorer = model.scorer_on(args.engine.threads()?)?;
    let mut camera = StoredCamera::new(Stored::open(&args.seen)?);
    let mut frames = Vec::new();
    loop {
        match camera.next_frame(Duration::ZERO) {
            Ok(Next::Frame(frame)) => match frame.picture() {
                Ok(picture) => {
                    let verdict = scorer.score(&picture).with_context(|| frame.name.clone())?;
                    let mono_ms = (frames.len() as f64 * 1000.0 / args.fps) as u64;
                    frames.push(ScoredFrame {
                        at: Stamp { mono_ms, utc_ms: mono_ms as i64, clock_synced: false },
                        region: "frame".into(),
                        energy: verdict.energy,
                        p_value: verdict.p_value,
                        nearest: verdict.nearest,
                        light_jumped: false,
                    });
                }
                Err(e) => eprintln!("warning: {}: {e}", frame.name),
            },
            Ok(Next::Late) => {}
            Ok(Next::Ended) => break,
            Err(e) if e.is_passing() => eprintln!("warning: {e}"),
            Err(e) => bail!(e),
        }
    }
    Ok(frames)
}

fn write_json(summary: &Summary) -> Result<()> {
    let events: Vec<_> = summary
        .events
        .iter()
        .map(|event| json!({ "at": event.at, "length_ms": event.length_ms, "unusual": event.unusual }))
        .collect();
    let object = json!({
        "alpha": summary.alpha,
        "frames": summary.frames,
        "flagged": summary.flagged,
        "watched_ms": summary.watched_ms,
        "alarms": summary.alarms(),
        "suppressed": summary.suppressed(),
        "alarms_per_day": summary.alarms_per_day(),
        "events": events,
    });
    Ok(writeln!(stdout(), "{object}")?)
}
