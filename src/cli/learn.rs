//! `oddsight learn`: what a camera shows now becomes what is normal.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::camera::{BackOff, Supervised};
use oddsight::clock::{Clock as _, Stamp, System};
use oddsight::config::Config;
use oddsight::gate::{GateSettings, Region};
use oddsight::learn::{BLOCK_MS, Learner};
use oddsight::machine::Sensors;
use oddsight::model::store::version_of;
use oddsight::model::{BACKBONE_FILE, Model, check_output, write_model};
use oddsight::runtime::{Capture, Haste, Outcome, Shelf, Signals, Watch, WatchSettings};
use oddsight::verdict::Alpha;

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

/// Stored pictures have no times: they are taken as so far apart. Blocks that are fitted to and blocks that calibrate are 20
/// pictures long then.
const STORED_MS: u64 = BLOCK_MS / 20;

/// So many troubles with single frames are told one by one.
const MOST_WARNINGS: u64 = 10;

/// Watches, fits, calibrates, and writes the model directory.
pub fn run(args: &LearnArgs) -> Result<()> {
    let minutes = args.minutes;
    ensure!(minutes > 0.0, "--minutes {minutes} is no length of time; try 10");
    check_output(&args.out).map_err(anyhow::Error::msg)?;
    let signals = Signals::listen()?;
    let config = args.setup.config()?;
    let shelf = Shelf::new(&config.model)?;
    let dir = shelf.model_dir()?;
    let started = System.now();
    let mut watch = watch(&config, &shelf, &dir, started)?;
    if config.camera.source.is_live() {
        let length_ms = (minutes * 60_000.0) as u64;
        watch.learner = watch.learner.take().map(|learner| learner.within(length_ms));
    }
    let mut troubles = Troubles { bar: Bar::new(minutes), count: 0, last: None };
    look(&config, minutes, &signals, &mut watch, &mut troubles)?;
    troubles.end();
    let Some(learner) = watch.learner.take() else { return Ok(()) };
    let progress = learner.progress();
    if progress.fit_frames + progress.calibration_frames == 0 {
        match troubles.last {
            Some(why) => bail!("no frame was seen: {why}"),
            None => bail!("no frame was seen in {minutes} minutes"),
        }
    }
    let learnt = learner.finish()?;
    ensure!(!signals.stop(), "stopped; nothing was written");
    let card = learnt.card(System.now());
    write_model(&args.out, &dir.join(BACKBONE_FILE), &learnt.blob, &card, Some(version_of(&dir)))
        .with_context(|| args.out.display().to_string())?;
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

/// Frames are looked at as on a device, but for the gate: each may teach something.
fn watch(config: &Config, shelf: &Shelf, dir: &Path, started: Stamp) -> Result<Watch> {
    let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>()?;
    let tiles = regions.iter().map(Region::tiles).max().unwrap_or(1);
    // The old calibration need not honour the alpha that is wanted.
    let mut shelf = shelf.clone();
    shelf.set_alpha(None);
    let eye = shelf.open(dir, None, &regions)?.eye;
    let alpha = config.model.alpha.map_or_else(|| Alpha::new(eye.model.alpha()), Ok)?;
    let learner = Learner::new(eye.model.clone(), started.mono_ms).for_alpha(alpha, tiles)?;
    let settings = WatchSettings { gate: GateSettings::default(), ..WatchSettings::of(config) };
    let mut watch =
        Watch::new(&config.device, eye, regions, config.camera.size, &settings, started);
    watch.learner = Some(learner);
    Ok(watch)
}

/// Watches until the time is up or the source ends.
fn look(
    config: &Config,
    minutes: f64,
    signals: &Signals,
    watch: &mut Watch,
    troubles: &mut Troubles,
) -> Result<()> {
    let source = &config.camera.source;
    let started = System.now();
    let camera = Supervised::over(source, None, BackOff::default(), started.mono_ms);
    let haste = if source.is_live() { Haste::Newest } else { Haste::Every };
    let capture = Capture::start(camera, haste, Arc::new(System))?;
    let mut sensors = Sensors::new(Path::new("/"));
    let mut pictures = 0;
    loop {
        let now = System.now();
        let passed_ms = now.mono_ms.saturating_sub(started.mono_ms);
        if signals.stop() {
            troubles.end();
            bail!("stopped after {:.1} minutes; nothing was written", passed_ms as f64 / 60_000.0);
        }
        let ended = capture.has_ended();
        let captured = capture.frame(Duration::from_millis(100));
        for (_, why, _) in capture.faults() {
            troubles.tell(why);
        }
        ensure!(!capture.has_died(), "the thread that reads the camera has died");
        let Some(captured) = captured else {
            if ended || passed_ms as f64 >= minutes * 60_000.0 {
                return Ok(());
            }
            continue;
        };
        let at = match haste {
            Haste::Newest => captured.at,
            Haste::Every => {
                let mono_ms = started.mono_ms + pictures * STORED_MS;
                Stamp { mono_ms, ..captured.at }
            }
        };
        pictures += 1;
        let step = watch.frame(&captured.frame, at, sensors.machine(now.mono_ms))?;
        if let Outcome::Faulty { why, .. } = step.outcome {
            troubles.tell(format!("{}: {why}", captured.frame.name));
        }
        if let Some(learner) = &watch.learner {
            let progress = learner.progress();
            troubles.bar.show(passed_ms, progress.fit_frames + progress.calibration_frames);
        }
        if passed_ms as f64 >= minutes * 60_000.0 {
            return Ok(());
        }
    }
}

/// Says what goes wrong with frames, but does not flood the screen.
struct Troubles {
    bar: Bar,
    count: u64,
    last: Option<String>,
}

impl Troubles {
    fn tell(&mut self, why: String) {
        self.count += 1;
        if self.count <= MOST_WARNINGS {
            self.bar.end();
            eprintln!("warning: {why}");
        }
        self.last = Some(why);
    }

    fn end(&mut self) {
        self.bar.end();
        if self.count > MOST_WARNINGS {
            let last = self.last.as_deref().unwrap_or_default();
            eprintln!("warning: {} more of the kind, the last: {last}", self.count - MOST_WARNINGS);
        }
    }
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
