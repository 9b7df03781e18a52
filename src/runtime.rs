//! The running device: threads, signals, shutdown.
//!
//! ```text
//! camera thread ─▶ newest frame ─▶ main thread (Watch) ─▶ one thread per sink
//!                                        └──────────────▶ board ◀── http thread
//! ```
//!
//! The main thread waits for nobody but the camera's next frame, and for that at most [`FRAME_WAIT`]. All decisions are in
//! [`Watch`]; this module only carries things to it and from it.

mod capture;
mod error;
mod learning;
mod memo;
pub mod memory;
mod outlets;
mod outputs;
mod shelf;
mod signals;
mod supervisor;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::camera::{BackOff, Faults, Supervised};
use crate::clock::{Clock, Stamp};
use crate::config::{Config, Reload};
use crate::event::{FaultKind, Machine};
use crate::gate::Region;
use crate::http::Server;
use crate::machine::Sensors;
use crate::status::{DriftStatus, Identity, ModelCard, Place};

pub use capture::{Capture, Captured, Haste};
pub use error::{RuntimeError, RuntimeErrorKind};
pub use outputs::{Kept, Outputs};
pub use shelf::{Shelf, Taken};
pub use signals::Signals;
pub use supervisor::Supervisor;
pub use watch::{Eye, Outcome, Step, Watch, WatchSettings};

use learning::Learning;
use memo::Memo;

/// Longest wait for a frame before signals and faults are looked at.
const FRAME_WAIT: Duration = Duration::from_millis(100);

/// What is not about frames is done this often.
const CHORES_MS: u64 = 1000;

/// A newly installed model is looked for this often.
const MODEL_MS: u64 = 5000;

/// What is left in queues at the end has this long to be delivered.
const DRAIN: Duration = Duration::from_millis(1500);

/// A camera thread that did not come round for so long hangs: opening a device may take some seconds, reading may not.
const CAMERA_HANGS_MS: u64 = 60_000;

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
/// What cannot be started, or a model that fails on a frame. Trouble of cameras and sinks is none: it is reported and
/// waited out.
pub fn run(
    config: Config,
    options: &Options,
    clock: Arc<dyn Clock>,
    signals: &Signals,
    read_config: &mut dyn FnMut() -> Option<Config>,
) -> Result<Ended, RuntimeError> {
    let mut device = Device::start(config, options, clock)?;
    device.supervisor.ready();
    let ended = device.watch_until(signals, read_config);
    device.stop();
    ended
}

/// Everything that runs.
struct Device {
    config: Config,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    /// Number of the model in use, if it is from a store.
    model_number: Option<u64>,
    model_name: String,
    /// A model that was found since and is being opened.
    coming: Option<std::thread::JoinHandle<Result<Taken, RuntimeError>>>,
    /// The number of a model that could not be used, so that it is not tried again and again.
    refused: Option<u64>,
    watch: Watch,
    capture: Capture,
    outputs: Outputs,
    learning: Learning,
    sensors: Sensors,
    memo: Option<Memo>,
    supervisor: Supervisor,
    server: Option<Server>,
    /// When a frame was last scored or kept back by the gate.
    judged_ms: u64,
    is_proven: bool,
    openings: u64,
    chores_ms: u64,
    models_ms: u64,
}

impl Device {
    fn start(
        config: Config,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Device, RuntimeError> {
        let regions = config.regions.iter().map(Region::new).collect::<Result<Vec<_>, _>>()?;
        let shelf = Shelf::new(&config.model);
        // Lines first: they show the safe level from here on, whatever comes.
        let outlets = outlets::open(&config, &clock)?;
        let Taken { eye, name, number } = shelf.first(&regions)?;
        let now = clock.now();
        let identity = identity(&config, &name, &eye);
        let (mut outputs, past) = outlets.join(identity, now);
        let server = match &config.http {
            None => None,
            Some(settings) => Some(Server::start(settings, outputs.board.clone(), clock.clone())?),
        };
        if let Some(server) = &server {
            log::info!("status page: http://{}/", server.address());
        }
        let settings = WatchSettings::of(&config);
        let mut watch =
            Watch::new(&config.device, eye, regions, config.camera.size, &settings, now);
        let mut sensors = Sensors::new(Path::new("/"));
        let machine = sensors.machine(now.mono_ms);
        let memo = config.journal.dir.as_ref().map(|dir| Memo::in_folder(dir));
        if config.journal.dir.is_none() {
            // Nothing else remembers which names were given before a restart.
            watch.decisions_mut().number_from(now.mono_ms / 1000, now.mono_ms);
        }
        outputs.say(watch.decisions_mut().resume(past, now, machine));
        if let Some(memo) = &memo {
            memo.recall(watch.decisions_mut(), now);
        }
        let source = &config.camera.source;
        let back_off = BackOff {
            first_ms: config.camera.reopen_ms,
            most_ms: config.camera.reopen_most_ms,
            stall_ms: config.camera.stall_ms,
        };
        let seed = now.mono_ms ^ u64::from(std::process::id());
        let camera = Supervised::over(source, options.faults.as_ref(), back_off, seed);
        let haste = if source.is_live() { Haste::Newest } else { Haste::Every };
        let capture = Capture::start(camera, haste, clock.clone())?;
        log::info!("watching {} with {name}", source.for_log());
        Ok(Device {
            learning: Learning::new(&config.learn)?,
            supervisor: Supervisor::find(),
            model_number: number,
            model_name: name,
            coming: None,
            refused: None,
            judged_ms: now.mono_ms,
            is_proven: false,
            openings: 0,
            chores_ms: 0,
            models_ms: now.mono_ms,
            config,
            clock,
            shelf,
            watch,
            capture,
            outputs,
            sensors,
            memo,
            server,
        })
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
            let now = self.clock.now();
            let machine = self.sensors.machine(now.mono_ms);
            while let Some((kind, why, at)) = self.capture.fault() {
                let step = self.watch.fault(kind, why, at, machine);
                self.outputs.fault(at, step);
            }
            // In this order: the last frame may come between the two.
            let ended = self.capture.has_ended();
            match self.capture.frame(FRAME_WAIT) {
                Some(captured) => self.frame(&captured, machine)?,
                None if ended => return Ok(Ended::Source),
                None => {}
            }
            if now.mono_ms.saturating_sub(self.chores_ms) >= CHORES_MS {
                self.chores_ms = now.mono_ms;
                self.chores(now, machine);
            }
        }
    }

    fn frame(&mut self, captured: &Captured, machine: Machine) -> Result<(), RuntimeError> {
        let step = self.watch.frame(&captured.frame, captured.at, machine)?;
        let judged = matches!(step.outcome, Outcome::Scored { .. } | Outcome::Unchanged);
        let scored = matches!(step.outcome, Outcome::Scored { .. });
        self.outputs.frame(captured, step, self.watch.regions());
        if judged {
            self.judged_ms = captured.at.mono_ms;
            self.supervisor.alive(captured.at.mono_ms);
        }
        if scored && !self.is_proven {
            self.is_proven = true;
            self.shelf.proven();
        }
        Ok(())
    }

    /// What is due every second.
    fn chores(&mut self, now: Stamp, machine: Machine) {
        self.outputs.say(self.watch.tick(now, machine));
        if self.is_excused(now) {
            self.supervisor.alive(now.mono_ms);
        }
        self.supervisor.says(self.says(now));
        let board = &self.outputs.board;
        board.machine(machine, self.sensors.rss_bytes());
        board.drift(self.drifts());
        board.metrics().overwritten(self.capture.overwritten());
        for _ in self.openings..self.capture.openings() {
            board.metrics().opened();
        }
        self.openings = self.capture.openings();
        self.outputs.report();
        if let Some(memo) = &mut self.memo {
            memo.keep(self.watch.decisions(), now);
        }
        if let Some(taken) = self.learning.step(&mut self.watch, &self.shelf, now) {
            self.change_model(taken, now, machine);
        }
        self.look_for_model(now, machine);
    }

    /// Whether there is a reason that no frame is scored, and everything lives that could end it.
    fn is_excused(&self, now: Stamp) -> bool {
        let source_waits = !self.config.camera.source.is_live();
        let camera_is_away = self.watch.decisions().fault().is_some();
        let camera_lives = now.mono_ms.saturating_sub(self.capture.beat_ms()) < CAMERA_HANGS_MS;
        source_waits || camera_is_away && camera_lives
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
                    0 => format!("watching with {}", self.model_name),
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
        if self.coming.is_some() || now.mono_ms.saturating_sub(self.models_ms) < MODEL_MS {
            return;
        }
        self.models_ms = now.mono_ms;
        if let Some((dir, number)) = self.shelf.newer(self.model_number)
            && self.refused != Some(number)
        {
            log::info!("opening model {number}");
            self.refused = Some(number);
            let (shelf, regions) = (self.shelf.clone(), self.watch.regions().to_vec());
            let opening = std::thread::Builder::new().name("model".into());
            match opening.spawn(move || shelf.open(&dir, Some(number), &regions)) {
                Ok(opening) => self.coming = Some(opening),
                Err(e) => log::error!("the new model is not used: no thread to open it: {e}"),
            }
        }
    }

    fn change_model(&mut self, taken: Taken, now: Stamp, machine: Machine) {
        let Taken { eye, name, number } = taken;
        log::info!("from now on with {name}");
        self.outputs.board.identify(identity(&self.config, &name, &eye));
        let said = self.watch.set_eye(eye, now, machine);
        self.outputs.say(said);
        (self.model_number, self.model_name) = (number, name);
        self.is_proven = false;
    }

    /// Takes over what can be changed while the program runs.
    fn reload(&mut self, new: Config) {
        for change in self.config.changes(&new) {
            match change.reload {
                Reload::Live => log::info!("{change}"),
                Reload::Restart => log::warn!("{change}"),
            }
        }
        let config = self.config.reloaded(&new);
        crate::logger::set_level(config.log.level.filter());
        self.shelf.set_alpha(config.model.alpha);
        self.watch.set_settings(&WatchSettings::of(&config));
        self.learning.set_minutes(config.learn.minutes);
        if config.model.alpha != self.config.model.alpha {
            let now = self.clock.now();
            let machine = self.sensors.machine(now.mono_ms);
            match self.watch.set_alpha(config.model.alpha, now, machine) {
                Ok(said) => {
                    self.outputs.board.identify(identity(
                        &config,
                        &self.model_name,
                        self.watch.eye(),
                    ));
                    self.outputs.say(said);
                }
                Err(e) => log::error!(
                    "model.alpha: {e}; alpha stays {}",
                    self.watch.eye().scorer.alpha().get()
                ),
            }
        }
        self.config = config;
    }

    /// Ends events, delivers what waits, and leaves lines at their safe level.
    fn stop(mut self) {
        self.supervisor.stopping();
        let now = self.clock.now();
        let machine = self.sensors.machine(now.mono_ms);
        if let Some(memo) = &mut self.memo {
            memo.keep_now(self.watch.decisions(), now);
        }
        self.outputs.say(self.watch.close(now, machine));
        drop(self.server);
        for name in self.outputs.close(DRAIN) {
            log::warn!("{name}: not everything could be delivered before the end");
        }
        log::info!("stopped");
    }
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
