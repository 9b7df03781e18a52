//! `oddsight demo`: a model watches a simulated conveyor on which things go wrong at known times,
//! and is judged by what really happened.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use oddsight::camera::synth::Show;
use oddsight::model::{Model, Scorer};
use oddsight::verdict::Alpha;

mod alarm;
mod evidence;
mod page;
mod plot;
mod scale;
mod scorecard;
mod view;

use alarm::Debounce;
use scale::EnergyScale;
use scorecard::{Said, Scorecard, Truth};
use view::View;

/// Arguments of `oddsight demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Model directory, in place of the shipped models/demo-conveyor.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Another seed plays another show.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Do not wait between frames.
    #[arg(long)]
    fast: bool,
    /// Where the page and the evidence frames go.
    #[arg(long, value_name = "DIR", default_value = "oddsight-demo")]
    out: PathBuf,
    /// Per-frame false-alarm rate, in place of the model's own.
    #[arg(long, value_name = "RATE")]
    alpha: Option<Alpha>,
}

/// Frames per second of the simulated camera.
const FPS: u64 = 10;
const SHIPPED_MODEL: &str = "models/demo-conveyor";

/// Plays the show, prints the scorecard, and leaves the evidence and the page in `--out`.
pub fn run(args: DemoArgs) -> Result<()> {
    let dir = match &args.model {
        Some(dir) => dir.clone(),
        None => shipped_model()?,
    };
    let model = Model::open(&dir)?;
    let mut scorer = model.scorer()?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha)?;
    }
    evidence::make_folder(&args.out)?;
    let show = Show::new(args.seed);
    let setting = Setting {
        seed: args.seed,
        alpha: scorer.alpha().get(),
        scale: EnergyScale::new(model.calibration(), scorer.threshold_q16()),
        frames: show.frames(),
    };
    let truths: Vec<Truth> = show.episodes().iter().map(Truth::from).collect();
    let tape = play(&show, &truths, &mut scorer, &setting, args.fast)?;
    let scorecard = Scorecard::new(&tape, &truths);
    let evidence = evidence::collect(&show, &scorecard);
    evidence::save(&args.out, args.seed, &evidence)?;
    let page = args.out.join("index.html");
    evidence::write(&page, page::render(&setting, &tape, &scorecard, &evidence).as_bytes())?;
    let report = scorecard.report(setting.alpha);
    let (out, page) = (args.out.display(), page.display());
    writeln!(stdout(), "{report}\nEvidence frames: {out}\nThe page to look at: {page}")?;
    Ok(())
}

/// What stays the same during one run.
struct Setting {
    seed: u64,
    alpha: f64,
    scale: EnergyScale,
    frames: u64,
}

fn shipped_model() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED_MODEL);
    [PathBuf::from(SHIPPED_MODEL), built.clone()].into_iter().find(|dir| dir.is_dir()).with_context(
        || {
            format!(
                "no demo model: there is neither {SHIPPED_MODEL} here nor {}; run this in a \
                 checkout of oddsight, or name a model with --model DIR (`oddsight-train fit \
                 --data synth:1 …` makes one)",
                built.display()
            )
        },
    )
}

/// Scores every frame of the show while a person watches.
fn play(
    show: &Show,
    truths: &[Truth],
    scorer: &mut Scorer,
    setting: &Setting,
    fast: bool,
) -> Result<Vec<Said>> {
    let mut view = View::for_stdout(setting)?;
    let mut debounce = Debounce::default();
    let mut tape = Vec::new();
    let start = Instant::now();
    for frame in 0..show.frames() {
        let picture = show.draw(frame);
        let verdict = scorer.score(&picture)?;
        tape.push(Said {
            energy: verdict.energy,
            p_value: verdict.p_value,
            unusual: verdict.unusual,
            alarm: debounce.step(verdict.unusual, verdict.p_value),
        });
        let due = Duration::from_millis(frame * 1000 / FPS);
        if !fast && let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        view.show(setting, truths, &tape, &picture)?;
    }
    Ok(tape)
}

/// Time of a frame in seconds since the start.
fn seconds(frames: u64) -> f64 {
    frames as f64 / FPS as f64
}
