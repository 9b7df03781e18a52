//! The running device: threads, signals, shutdown.
//!
//! ```text
//! camera thread ─▶ newest frame ─▶ main thread (Watch) ─▶ one thread per sink
//!                                        ├──────────────▶ board ◀── http thread
//!                                        └──────────────▶ errands: what waits for a disk
//! ```
//!
//! The main thread waits for nobody but the camera's next frame, and for that at most [`FRAME_WAIT`]. All decisions are in
//! [`Watch`]; this module only carries things to it and from it.

mod capture;
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
use crate::config::{Config, Reload};
use crate::event::{FaultKind, Machine, Message};
use crate::gate::Region;
use crate::http::Server;
use crate::machine::Sensors;
use crate::sink::journal::Fsync;
use crate::status::{Board, DriftStatus, Identity, ModelCard, Place};

pub use capture::{Capture, Captured, Haste};
pub use error::{RuntimeError, RuntimeErrorKind};
pub use outputs::{Kept, Outputs};
pub use shelf::{Shelf, Taken};
pub use signals::Signals;
pub use supervisor::Supervisor;
pub use watch::{Eye, Outcome, Step, Watch, WatchSettings, honours};

use capture::CameraFault;
use errands::{Errands, in_background};
use learning::Learning;
use memo::Memo;
use remedy::Remedy;

/// Longest wait for a frame before signals and faults are looked at.
const FRAME_WAIT: Duration = Duration::from_millis(100);

/// What is not about frames is done this often.
const CHORES_MS: u64 = 1000;

/// A newly installed model is looked for this often.
const MODEL_MS: u64 = 5000;

/// What is left in queues when the program is told to stop has this long to be delivered …
const DRAIN: Duration = Duration::from_millis(1500);

/// … and this long when the source has ended, unless the program is told to stop then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source that can wait does so until what came of it is written, but no longer than this.
const BEHIND_MS: u64 = 10_000;

/// A camera thread that did not come round for so long hangs, or for as long as the watchdog waits: opening a device may
/// take some seconds, reading may not.
const CAMERA_HANGS_MS: u64 = 60_000;

/// A model that was opened and got no frame for so long is not to blame.
const EXCUSED_MS: u64 = 30_000;

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
    let started = Device::start(config, shelf.clone(), options, clock);
    // A port that is in use is no failure of the model.
    if started.as_ref().is_err_and(|e| e.kind() != RuntimeErrorKind::Model) {
        shelf.excused();
    }
    let mut device = started?;
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
    /// The model of the start has scored a frame, or could not be given one.
    is_proven: bool,
    started_ms: u64,
    openings: u64,
    /// Since when outlets have had more than they write.
    behind_ms: Option<u64>,
    chores_ms: u64,
    models_ms: u64,
}

/// Which model is in use.
struct InUse {
    name: String,
    dir: PathBuf,
    /// Its number, if it is from a store.
    number: Option<u64>,
}

impl Device {
    /// Opens all that can fail before anything is started that others see.
    fn start(
        config: Config,
        shelf: Shelf,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Device, RuntimeError> {
        let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>()?;
        // Lines first: they show the safe level from here on, whatever comes.
        let mut outlets = outlets::open(&config)?;
        let learning = Learning::new(&config.learn)?;
        let errands = Errands::start()?;
        let Taken { eye, name, dir, number } = shelf.first(&regions)?;
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
            tried: None,
            is_proven: false,
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
                self.learning.begin(&mut self.watch, now);
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
        let step = self.watch.frame(&captured.frame, captured.at, machine)?;
        let scored = matches!(step.outcome, Outcome::Scored { .. });
        let judged = scored || step.outcome == Outcome::Unchanged;
        self.hear(&step.messages);
        self.outputs.frame(captured, step, self.watch.regions());
        if judged {
            self.remedy.good(captured.at.mono_ms);
            self.supervisor.alive(captured.at.mono_ms);
        }
        if scored && !self.is_proven {
            let shelf = self.shelf.clone();
            self.is_proven = self.errands.run(move || shelf.proven());
        }
        Ok(())
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

    /// What is due every second.
    fn chores(&mut self, now: Stamp, machine: Machine) {
        let said = self.watch.tick(now, machine);
        self.say(said);
        if self.is_excused(now) {
            self.supervisor.alive(now.mono_ms);
        }
        self.supervisor.says(self.says(now));
        if let Some(fault) = self.watch.decisions().fault()
            && self.config.camera.source.is_live()
            && self.remedy.is_due(fault.fault, now.mono_ms)
        {
            log::warn!("no frame shows anything: the camera is closed and opened again");
            self.capture.reopen();
        }
        let board = &self.outputs.board;
        board.machine(machine, self.sensors.rss_bytes());
        board.drift(self.drifts());
        board.metrics().overwritten(self.capture.overwritten());
        for _ in self.openings..self.capture.openings() {
            board.metrics().opened();
        }
        self.openings = self.capture.openings();
        self.outputs.report(now, &self.errands);
        if let Some(memo) = &mut self.memo {
            memo.keep(self.watch.decisions(), now, machine, &self.errands);
        }
        if !self.is_proven && now.mono_ms.saturating_sub(self.started_ms) >= EXCUSED_MS {
            let shelf = self.shelf.clone();
            self.is_proven = self.errands.run(move || shelf.excused());
        }
        let learnt = self.learning.step(&mut self.watch, &self.shelf, &self.model.dir, now);
        if let Some(taken) = learnt {
            self.change_model(taken, now, machine);
        }
        self.look_for_model(now, machine);
    }

    /// Whether there is a reason that no frame is scored, and everything lives that could end it.
    fn is_excused(&self, now: Stamp) -> bool {
        let limit_ms =
            self.supervisor.watchdog_ms().map_or(CAMERA_HANGS_MS, |ms| ms.min(CAMERA_HANGS_MS));
        let camera_lives = now.mono_ms.saturating_sub(self.capture.beat_ms()) < limit_ms;
        let may_be_silent = !self.config.camera.source.is_live();
        camera_lives && (may_be_silent || self.watch.decisions().fault().is_some())
    }

    /// One line for `systemctl status`.
    fn says(&self, now: Stamp) -> String {
        if let Some(progress) = self.learning.progress(&self.watch, now) {
            return progress;
        }
        match self.watch.decisions().fault() {
            Some(fault) => match fault.fault {
                FaultKind::Lost => format!("no camera: {}", fault.why),
                _ => format!("camera fault: {}", fault.why),
            },
            None => {
                let open = (0..self.watch.regions().len())
                    .filter(|region| self.watch.decisions().event(*region).is_some())
                    .count();
                match open {
                    0 => format!("watching with {}", self.model.name),
                    count => format!("{count} unusual event(s) going on"),
                }
            }
        }
    }

    fn drifts(&self) -> Vec<DriftStatus> {
        let drifts = (0..self.watch.regions().len()).filter_map(|region| {
            let drift = self.watch.decisions().drift(region)?.tested();
            Some(DriftStatus {
                region: drift.region.clone(),
                evidence: drift.evidence,
                mean_p_value: drift.mean_p_value,
            })
        });
        drifts.collect()
    }

    /// Opens a model that was installed since, on a thread of its own, and takes it when it is ready.
    fn look_for_model(&mut self, now: Stamp, machine: Machine) {
        if let Some(opening) = self.coming.take_if(|opening| opening.is_finished()) {
            match opening.join() {
                Ok(Ok(taken)) => self.change_model(taken, now, machine),
                Ok(Err(e)) => log::error!("the new model is not used: {e}"),
                Err(_) => log::error!("the new model is not used: it could not be opened"),
            }
        }
        // A learnt model is opened by who installs it.
        let busy = self.coming.is_some() || self.learning.is_fitting();
        if busy || now.mono_ms.saturating_sub(self.models_ms) < MODEL_MS {
            return;
        }
        self.models_ms = now.mono_ms;
        if let Some(newer) = self.shelf.newer(self.model.number)
            && self.tried != Some(newer.number)
        {
            log::info!("opening model {}", newer.number);
            self.tried = Some(newer.number);
            let (shelf, regions) = (self.shelf.clone(), self.watch.regions().to_vec());
            let open = move || shelf.open(&newer.dir, Some(newer.number), &regions);
            match in_background("model", open) {
                Ok(opening) => self.coming = Some(opening),
                Err(e) => log::error!("the new model is not used: no thread to open it: {e}"),
            }
        }
    }

    fn change_model(&mut self, taken: Taken, now: Stamp, machine: Machine) {
        let Taken { mut eye, name, dir, number } = taken;
        // A reload may have changed it while the model was opened.
        if let Err(e) = eye.set_alpha(self.config.model.alpha, self.watch.regions()) {
            return log::error!("the new model is not used: model.alpha: {e}");
        }
        log::info!("from now on with {name}");
        self.learning.model_changed(&mut self.watch);
        self.outputs.board.identify(identity(&self.config, &name, &eye));
        let said = self.watch.set_eye(eye, now, machine);
        self.say(said);
        self.tried = number;
        self.model = InUse { name, dir, number };
    }

    /// Takes over what can be changed while the program runs.
    fn reload(&mut self, new: Config) {
        for change in self.config.changes(&new) {
            match change.reload {
                Reload::Live => log::info!("{change}"),
                Reload::Restart => log::warn!("{change}"),
            }
        }
        let mut config = self.config.reloaded(&new);
        let now = self.clock.now();
        let machine = self.sensors.machine(now.mono_ms);
        crate::logger::set_level(config.log.level.filter());
        self.learning.set_minutes(config.learn.minutes);
        let mut said = self.watch.set_settings(&WatchSettings::of(&config), now, machine);
        if config.model.alpha != self.config.model.alpha {
            match self.watch.set_alpha(config.model.alpha, now, machine) {
                Ok(more) => said.extend(more),
                Err(e) => {
                    log::error!("model.alpha: {e}; it stays as it was");
                    config.model.alpha = self.config.model.alpha;
                }
            }
            self.shelf.set_alpha(config.model.alpha);
            let identity = identity(&config, &self.model.name, self.watch.eye());
            self.outputs.board.identify(identity);
        }
        self.say(said);
        self.config = config;
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
        if !self.is_proven && ended.is_ok() {
            let shelf = self.shelf.clone();
            self.errands.run(move || shelf.excused());
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

/// The file beside the journal.
fn memo(config: &Config, now: Stamp) -> Option<Memo> {
    let dir = config.journal.dir.as_ref()?;
    Some(Memo::in_folder(dir, config.journal.fsync == Fsync::Message, now))
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
    let mut past = memo.map(|memo| memo.recall(decisions, now)).unwrap_or_default();
    if journal.is_none() {
        // Nobody knows which numbers were given since the machine started.
        decisions.number_from(now.mono_ms / 1000, now.mono_ms);
    }
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
        model: ModelCard::new(model, &eye.model, &eye.scorer),
        regions: config.regions.iter().map(place).collect(),
    }
}
