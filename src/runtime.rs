//! The running device: threads, signals, shutdown.
//!
//! ```text
//! camera thread ─▶ newest frame ─▶ main thread (Watch) ─▶ one thread per sink
//!                                        ├──────────────▶ board ◀── http thread
//!                                        └──────────────▶ errands: what waits for a disk
//! ```
//!
//! The main thread waits for nobody but the camera's next frame, and for that at most `FRAME_WAIT`. All decisions are in
//! [`Watch`]; this module only carries things to it and from it.

mod capture;
mod change;
mod chores;
mod errands;
mod error;
mod learning;
mod memo;
pub mod memory;
mod outlets;
mod outputs;
mod remedy;
mod shelf;
mod signals;
mod supervisor;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::camera::{BackOff, Faults, Supervised};
use crate::clock::{Clock, Stamp};
use crate::config::Config;
use crate::event::{FaultKind, Machine, Message};
use crate::gate::Region;
use crate::http::Server;
use crate::machine::Sensors;
use crate::status::{Board, Identity, ModelCard, Place};

pub use capture::{Capture, Captured, Haste};
pub use error::{RuntimeError, RuntimeErrorKind};
pub use outputs::{Kept, Outputs};
pub use shelf::{Shelf, Taken};
pub use signals::Signals;
pub use supervisor::Supervisor;
pub use watch::{Eye, Outcome, Step, Watch, WatchSettings, honours};

use capture::CameraFault;
use errands::Errands;
use learning::Learning;
use memo::Memo;
use outlets::Outlets;
use remedy::Remedy;

/// Longest wait for a frame before signals and faults are looked at.
const FRAME_WAIT: Duration = Duration::from_millis(100);

/// What is not about frames is done this often.
const CHORES_MS: u64 = 1000;

/// What is left in queues when the program is told to stop has this long to be delivered …
const DRAIN: Duration = Duration::from_millis(1500);

/// … and this long when the source has ended, unless the program is told to stop then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source that can wait does so until what came of it is written, but no longer than this.
const BEHIND_MS: u64 = 10_000;

/// What the command line adds to a configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Faults that are injected into the source, to try a device out.
    pub faults: Option<Faults>,
}

/// Why [`run`] came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Stopped,
    /// The source has no more frames.
    Source,
}

/// Watches until it is told to stop or the source ends. `read_config` reads the configuration again on SIGHUP; it has
/// explained the errors of a bad one.
///
/// # Errors
///
/// What cannot be started, a model that fails on a frame, a stored source that cannot be read to its end. Trouble of
/// cameras and sinks is none: it is reported and waited out.
pub fn run(
    config: Config,
    options: &Options,
    clock: Arc<dyn Clock>,
    signals: &Signals,
    read_config: &mut dyn FnMut() -> Option<Config>,
) -> Result<Ended, RuntimeError> {
    let shelf = Shelf::new(&config.model)?;
    let opened = Opened::of(&config, &shelf)?;
    let started = Device::start(config, shelf.clone(), opened, options, clock);
    // A port that is in use is no failure of the model.
    let mut device = started.inspect_err(|_| shelf.excused())?;
    device.supervisor.ready();
    let ended = device.watch_until(signals, read_config);
    device.stop(&ended, signals);
    ended
}

/// Everything that runs.
struct Device {
    config: Config,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    model: InUse,
    /// A model that was found since and is being opened.
    coming: Option<JoinHandle<Result<Taken, RuntimeError>>>,
    /// The number of the model that was opened last, so that one that cannot be used is not tried again and again.
    tried: Option<u64>,
    watch: Watch,
    capture: Capture,
    outputs: Outputs,
    remedy: Remedy,
    learning: Learning,
    sensors: Sensors,
    memo: Option<Memo>,
    errands: Errands,
    supervisor: Supervisor,
    server: Option<Server>,
    /// What is known of the start that was counted.
    trial: Trial,
    started_ms: u64,
    openings: u64,
    /// Since when outlets have had more than they write.
    behind_ms: Option<u64>,
    chores_ms: u64,
    models_ms: u64,
}

/// What was opened first: lines that are safe from here on, and the model, whose start is counted.
struct Opened {
    regions: Vec<Region>,
    outlets: Outlets,
    learning: Learning,
    errands: Errands,
    taken: Taken,
}

impl Opened {
    fn of(config: &Config, shelf: &Shelf) -> Result<Opened, RuntimeError> {
        let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>()?;
        let outlets = outlets::open(config)?;
        let learning = Learning::new(&config.learn)?;
        let errands = Errands::start()?;
        // The last: what is wrong with the others is not the model's fault.
        let taken = shelf.first(&regions)?;
        Ok(Opened { regions, outlets, learning, errands, taken })
    }
}

/// What is known of a start, which counts as failed until more is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    Open,
    /// The model has had no frame, for no fault of its own.
    Excused,
    /// It has scored one.
    Proven,
}

/// Which model is in use.
struct InUse {
    name: String,
    dir: PathBuf,
    /// Its number, if it is from a store.
    number: Option<u64>,
}

impl Device {
    /// Starts what others see when nothing is left that is likely to fail.
    fn start(
        config: Config,
        shelf: Shelf,
        opened: Opened,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Device, RuntimeError> {
        let Opened { regions, mut outlets, learning, errands, taken } = opened;
        let Taken { eye, name, dir, number, refused } = taken;
        let now = clock.now();
        let board = Arc::new(Board::new(identity(&config, &name, &eye), now));
        let server = match &config.http {
            None => None,
            Some(settings) => Some(Server::start(settings, board.clone(), clock.clone())?),
        };
        if let Some(server) = &server {
            log::info!("status page: http://{}/", server.address());
        }
        let settings = WatchSettings::of(&config);
        let mut watch =
            Watch::new(&config.device, eye, regions, config.camera.size, &settings, now);
        let mut sensors = Sensors::new(Path::new("/"));
        let machine = sensors.machine(now.mono_ms);
        let memo = memo(&config, now);
        let ends = resume(&mut watch, memo.as_ref(), outlets.past(), now, machine);
        let outputs = outlets.start(board, &clock)?;
        let capture = capture(&config, options, now, &clock)?;
        log::info!("watching {} with {name}", config.camera.source.for_log());
        let mut device = Device {
            supervisor: Supervisor::find(),
            model: InUse { name, dir, number },
            remedy: Remedy::new(config.camera.stall_ms, now.mono_ms),
            coming: None,
            tried: refused.as_ref().map(|(number, _)| *number),
            trial: Trial::Open,
            started_ms: now.mono_ms,
            openings: 0,
            behind_ms: None,
            chores_ms: 0,
            models_ms: now.mono_ms,
            config,
            clock,
            shelf,
            watch,
            capture,
            outputs,
            learning,
            sensors,
            memo,
            errands,
            server,
        };
        if let Some((number, why)) = refused {
            device.outputs.board.model_trouble(Some(refusal(number, &why)));
        }
        device.say(ends);
        Ok(device)
    }

    fn watch_until(
        &mut self,
        signals: &Signals,
        read_config: &mut dyn FnMut() -> Option<Config>,
    ) -> Result<Ended, RuntimeError> {
        loop {
            if signals.stop() {
                return Ok(Ended::Stopped);
            }
            if signals.reload() {
                self.supervisor.reloading();
                if let Some(config) = read_config() {
                    self.reload(config);
                }
                self.supervisor.ready();
            }
            if signals.learn() || self.learning.button_pressed() {
                let now = self.clock.now();
                self.learning.begin(&mut self.watch, &self.shelf, now);
            }
            // In this order: the last frame and the last fault may come between the two.
            let ended = self.capture.has_ended();
            let waits = self.waits();
            let captured = if waits { None } else { self.capture.frame(FRAME_WAIT) };
            let is_over = ended && captured.is_none() && !waits;
            let now = self.clock.now();
            let machine = self.sensors.machine(now.mono_ms);
            self.look(captured, machine)?;
            if is_over {
                return self.source_ended();
            }
            if self.capture.has_died() {
                return Err(RuntimeError::start("the thread that reads the camera has died"));
            }
            if now.mono_ms.saturating_sub(self.chores_ms) >= CHORES_MS {
                self.chores_ms = now.mono_ms;
                self.chores(now, machine);
            }
        }
    }

    /// Lets a stored source wait a moment if its pictures come faster than what is said of them is written.
    fn waits(&mut self) -> bool {
        if self.config.camera.source.is_live() || !self.outputs.is_behind() {
            self.behind_ms = None;
            return false;
        }
        let now_ms = self.clock.now().mono_ms;
        let since_ms = *self.behind_ms.get_or_insert(now_ms);
        let waits = now_ms.saturating_sub(since_ms) < BEHIND_MS;
        if waits {
            std::thread::sleep(FRAME_WAIT / 10);
        }
        waits
    }

    /// What the camera gave: a frame, if there was one, and what went wrong before and after it.
    fn look(&mut self, captured: Option<Captured>, machine: Machine) -> Result<(), RuntimeError> {
        let mut faults = self.capture.faults();
        let Some(captured) = captured else {
            faults.into_iter().for_each(|fault| self.fault(fault, machine));
            return Ok(());
        };
        let before = faults.partition_point(|(_, _, at)| at.mono_ms < captured.at.mono_ms);
        let after = faults.split_off(before);
        faults.into_iter().for_each(|fault| self.fault(fault, machine));
        self.frame(&captured, machine)?;
        after.into_iter().for_each(|fault| self.fault(fault, machine));
        Ok(())
    }

    fn fault(&mut self, (kind, why, at): CameraFault, machine: Machine) {
        let step = self.watch.fault(kind, why, at, machine);
        self.hear(&step.messages);
        self.outputs.fault(at, step);
    }

    fn frame(&mut self, captured: &Captured, machine: Machine) -> Result<(), RuntimeError> {
        let age_ms = self.clock.now().mono_ms.saturating_sub(captured.at.mono_ms);
        let step = self.watch.frame(&captured.frame, captured.at, machine)?;
        let scored = matches!(step.outcome, Outcome::Scored { .. });
        if scored {
            self.outputs.board.metrics().waited(Duration::from_millis(age_ms));
        }
        let judged = scored || step.outcome == Outcome::Unchanged;
        self.hear(&step.messages);
        self.outputs.frame(captured, step, self.watch.regions());
        if judged {
            self.remedy.good(captured.at.mono_ms);
            self.supervisor.alive(captured.at.mono_ms);
        }
        if scored && self.trial != Trial::Proven {
            let shelf = self.shelf.clone();
            if self.errands.run(move || shelf.proven()) {
                self.trial = Trial::Proven;
            }
        }
        Ok(())
    }

    /// The start is not counted against the model, which was opened and has had no frame.
    fn excuse(&mut self) {
        if self.trial == Trial::Open {
            let shelf = self.shelf.clone();
            if self.errands.run(move || shelf.excused()) {
                self.trial = Trial::Excused;
            }
        }
    }

    fn hear(&mut self, messages: &[Message]) {
        if let Some(memo) = &mut self.memo {
            memo.heard(messages);
        }
    }

    fn say(&mut self, messages: Vec<Message>) {
        self.hear(&messages);
        self.outputs.say(messages);
    }

    /// The source has no more frames: a stored one should have been read to its end.
    fn source_ended(&self) -> Result<Ended, RuntimeError> {
        match self.watch.decisions().fault() {
            Some(fault)
                if self.config.camera.source.is_finite() && fault.fault == FaultKind::Lost =>
            {
                Err(RuntimeError::source(&fault.why))
            }
            _ => Ok(Ended::Source),
        }
    }

    /// Ends events, delivers what waits, and leaves lines at their safe level. All of it side by side: who hangs holds up
    /// nobody else, and is left behind.
    fn stop(mut self, ended: &Result<Ended, RuntimeError>, signals: &Signals) {
        self.supervisor.stopping();
        self.capture.end();
        let now = self.clock.now();
        let machine = self.sensors.machine(now.mono_ms);
        let said = self.watch.close(now, machine);
        self.say(said);
        self.outputs.end();
        if let Some(memo) = &mut self.memo {
            memo.keep_now(self.watch.decisions(), now, machine, &self.errands);
        }
        if ended.is_ok() {
            self.excuse();
        }
        drop(self.server);
        let patience = if matches!(ended, Ok(Ended::Source)) { PATIENCE } else { DRAIN };
        let mut until = Instant::now() + patience;
        let undone = self.outputs.close(&mut || {
            if signals.stop() {
                until = until.min(Instant::now() + DRAIN);
            }
            Instant::now() < until
        });
        crate::sink::hook::kill_all();
        for name in undone {
            log::warn!("{name}: not everything could be delivered before the end");
        }
        if !self.errands.finish(until) {
            log::warn!("a disk hangs; what was to be kept is lost");
        }
        drop(self.capture);
        log::info!("stopped");
    }
}

/// What people read of a model that is not used.
fn refusal(number: u64, why: &str) -> String {
    format!("model {number} is not used: {why}")
}

/// The file beside the journal.
fn memo(config: &Config, now: Stamp) -> Option<Memo> {
    let dir = config.journal.dir.as_ref()?;
    Some(Memo::in_folder(dir, &config.journal, now))
}

/// Takes up what is known of earlier runs; gives ends for the events that were open.
fn resume(
    watch: &mut Watch,
    memo: Option<&Memo>,
    journal: Option<Vec<Message>>,
    now: Stamp,
    machine: Machine,
) -> Vec<Message> {
    let decisions = watch.decisions_mut();
    let recalled = memo.and_then(|memo| memo.recall(decisions, now));
    if recalled.is_none() || journal.is_none() {
        // Nobody knows all the numbers that were given since the machine started; they were fewer than ten a second.
        decisions.number_from(now.mono_ms / 100, now.mono_ms);
    }
    let mut past = recalled.unwrap_or_default();
    past.extend(journal.unwrap_or_default());
    decisions.resume(past, now, machine)
}

/// Starts the camera.
fn capture(
    config: &Config,
    options: &Options,
    now: Stamp,
    clock: &Arc<dyn Clock>,
) -> Result<Capture, RuntimeError> {
    let source = &config.camera.source;
    let back_off = BackOff {
        first_ms: config.camera.reopen_ms,
        most_ms: config.camera.reopen_most_ms,
        stall_ms: config.camera.stall_ms,
    };
    let seed = now.mono_ms ^ u64::from(std::process::id());
    let camera = Supervised::over(source, options.faults.as_ref(), back_off, seed);
    let haste = if source.is_live() { Haste::Newest } else { Haste::Every };
    Ok(Capture::start(camera, haste, clock.clone())?)
}

fn identity(config: &Config, model: &str, eye: &Eye) -> Identity {
    let place =
        |region: &crate::gate::RegionSettings| Place { name: region.name.clone(), at: region.at };
    Identity {
        device: config.device.clone(),
        source: config.camera.source.for_log(),
        live: config.camera.source.is_live(),
        model: ModelCard::new(model, &eye.model, &eye.scorer),
        regions: config.regions.iter().map(place).collect(),
    }
}
