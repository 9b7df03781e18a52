//! `oddsight learn`: what a camera shows now becomes what is normal.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;
use oddsight::camera::{BackOff, Supervised};
use oddsight::clock::{Clock as _, System};
use oddsight::config::ModelSettings;
use oddsight::gate::{GateSettings, Region};
use oddsight::learn::Learner;
use oddsight::machine::Sensors;
use oddsight::model::store::version_of;
use oddsight::model::{BACKBONE_FILE, Model, check_output, write_model};
use oddsight::runtime::{Capture, Haste, Outcome, Shelf, Signals, Watch, WatchSettings};

use super::setup::SetupArgs;

/// Arguments of `oddsight learn`.
#[derive(Args)]
pub struct LearnArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// How long it watches; a source that ends earlier ends it.
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// Model directory to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Watches, fits, calibrates, and writes the model directory.
pub fn run(args: &LearnArgs) -> Result<()> {
    ensure!(args.minutes > 0.0, "--minutes {} is no length of time; try 10", args.minutes);
    check_output(&args.out).map_err(anyhow::Error::msg)?;
    let config = args.setup.config()?;
    let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>()?;
    let settings = ModelSettings { alpha: None, ..config.model.clone() };
    let shelf = Shelf::new(&settings);
    let dir = shelf.model_dir()?;
    let eye = shelf.open(&dir, None, &regions)?.eye;
    let base = eye.model.clone();
    let clock = Arc::new(System);
    let started = clock.now();
    let watching = WatchSettings { gate: GateSettings::default(), ..WatchSettings::of(&config) };
    let mut watch =
        Watch::new(&config.device, eye, regions, config.camera.size, &watching, started);
    watch.learner = Some(Learner::new(base, started.utc_ms as u64));
    let camera = Supervised::over(&config.camera.source, None, BackOff::default(), started.mono_ms);
    let haste = if config.camera.source.is_live() { Haste::Newest } else { Haste::Every };
    let capture = Capture::start(camera, haste, clock.clone())?;
    let signals = Signals::listen()?;
    let mut sensors = Sensors::new(std::path::Path::new("/"));
    let mut bar = Bar::new(args.minutes);
    loop {
        let now = clock.now();
        let passed_ms = now.mono_ms.saturating_sub(started.mono_ms);
        if signals.stop() {
            bar.end();
            bail!("stopped after {:.1} minutes; nothing was written", passed_ms as f64 / 60_000.0);
        }
        while let Some((_, why, _)) = capture.fault() {
            bar.end();
            eprintln!("warning: {why}");
        }
        let ended = capture.has_ended();
        match capture.frame(Duration::from_millis(100)) {
            Some(captured) => {
                let step =
                    watch.frame(&captured.frame, captured.at, sensors.machine(now.mono_ms))?;
                if let Outcome::Faulty { why, .. } = step.outcome {
                    bar.end();
                    eprintln!("warning: {}: {why}", captured.frame.name);
                }
            }
            None if ended => break,
            None => {}
        }
        if let Some(learner) = &watch.learner {
            let progress = learner.progress();
            bar.show(passed_ms, progress.fit_frames + progress.calibration_frames);
        }
        if passed_ms as f64 >= args.minutes * 60_000.0 {
            break;
        }
    }
    bar.end();
    drop(capture);
    let Some(learner) = watch.learner.take() else { return Ok(()) };
    let learnt = learner.finish()?;
    let card = learnt.card(clock.now());
    write_model(&args.out, &dir.join(BACKBONE_FILE), &learnt.blob, &card, version_of(&dir))?;
    // What was written is what will be opened.
    let model = Model::open(&args.out)?;
    let [fit, calibration] = learnt.frames;
    for head in &learnt.unrefined {
        eprintln!("warning: {head} is its prior now: its residual was trained for another one");
    }
    let out = args.out.display();
    writeln!(
        stdout(),
        "{out}: heads fitted to {fit} frames, calibrated with {calibration}; alpha {} flags energies above {:.3}",
        model.alpha(),
        oddsight::energy::from_q16(model.scorer()?.threshold_q16()),
    )?;
    Ok(())
}

/// How far it is: a line that is written over on a terminal, a line a minute elsewhere.
struct Bar {
    minutes: f64,
    is_terminal: bool,
    shown: Option<u64>,
}

impl Bar {
    fn new(minutes: f64) -> Bar {
        Bar { minutes, is_terminal: stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, passed_ms: u64, frames: u64) {
        let step = passed_ms / if self.is_terminal { 200 } else { 60_000 };
        if self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        let passed = passed_ms as f64 / 60_000.0;
        // A closed standard error is no reason to stop.
        let mut out = stderr().lock();
        let _ = if self.is_terminal {
            let done = ((passed / self.minutes).min(1.0) * 30.0) as usize;
            write!(
                out,
                "\r[{:<30}] {passed:.1} of {} minutes, {frames} frames ",
                "=".repeat(done),
                self.minutes
            )
        } else {
            writeln!(out, "learning: {passed:.0} of {} minutes, {frames} frames", self.minutes)
        };
        let _ = out.flush();
    }

    fn end(&mut self) {
        if self.is_terminal && self.shown.take().is_some() {
            eprintln!();
        }
    }
}
