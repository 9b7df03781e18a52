//! From a frame to messages: gate, image, backbone, energy, verdict, event, one after the other.
//!
//! A [`Watch`] has no thread, no clock and no outlet. What it says depends on the frames and stamps that it is given, so a
//! simulation drives the very code that a device runs.

use std::fmt;
use std::time::{Duration, Instant};

use crate::camera::Frame;
use crate::clock::Stamp;
use crate::config::Config;
use crate::event::tiles::join;
use crate::event::{AlarmSettings, Decisions, DriftSettings, FaultKind, Machine, Message, Rules};
use crate::gate::{
    Change, GateSettings, Light, Look, Pace, PaceSettings, Quality, QualitySettings, Region,
    fault_kind,
};
use crate::image::Rgb;
use crate::learn::Learner;
use crate::model::{Model, ModelError, Scorer};
use crate::verdict::{Alpha, Verdict, VerdictError};

/// How frames are judged; all of it can change while frames come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchSettings {
    pub quality: QualitySettings,
    pub gate: GateSettings,
    pub pace: PaceSettings,
    pub alarm: AlarmSettings,
    pub drift: DriftSettings,
    /// All frames have one size, as a camera's do, and not those of pictures that somebody gathered.
    pub one_size: bool,
}

impl WatchSettings {
    /// As a configuration wants it.
    pub fn of(config: &Config) -> WatchSettings {
        let mut pace = config.pace.clone();
        let mut quality = config.quality.clone();
        if !config.camera.source.is_live() {
            // Stored pictures are all looked at, as fast as they can be. The next one may come in days.
            (pace.max_fps, pace.hot_fps) = (0.0, 0.0);
            quality.good_frames = 1;
        }
        WatchSettings {
            quality,
            gate: config.gate.clone(),
            pace,
            alarm: config.alarm.clone(),
            drift: config.drift.clone(),
            one_size: config.camera.source.is_live(),
        }
    }

    /// Quality by these settings, of frames that were promised to have this size.
    fn quality(&self, size: Option<(u32, u32)>) -> Quality {
        let quality = Quality::new(&self.quality, size);
        if self.one_size { quality.of_one_size() } else { quality }
    }

    fn rules(&self) -> Rules {
        Rules {
            alarm: self.alarm.clone(),
            quality: self.quality.clone(),
            drift: self.drift.clone(),
        }
    }
}

/// A model, opened and set up for frames.
pub struct Eye {
    pub model: Model,
    pub scorer: Scorer,
}

impl Eye {
    /// Sets a scorer up, and checks that its calibration carries alpha for each tile of these regions.
    ///
    /// # Errors
    ///
    /// An alpha that the calibration cannot honour.
    pub fn new(
        model: Model,
        scorer: Scorer,
        alpha: Option<Alpha>,
        regions: &[Region],
    ) -> Result<Eye, VerdictError> {
        let mut eye = Eye { model, scorer };
        eye.set_alpha(alpha, regions)?;
        Ok(eye)
    }

    /// From now on with this alpha; without one, with the model's own.
    ///
    /// # Errors
    ///
    /// An alpha that the calibration cannot honour; the old one stays.
    pub fn set_alpha(
        &mut self,
        alpha: Option<Alpha>,
        regions: &[Region],
    ) -> Result<(), VerdictError> {
        let alpha = honours(&self.model, alpha, regions)?;
        self.scorer.set_alpha(alpha)
    }
}

/// The alpha that holds for a model: this one, or else its own.
///
/// # Errors
///
/// An alpha that the calibration cannot honour for each tile of a region.
pub fn honours(
    model: &Model,
    alpha: Option<Alpha>,
    regions: &[Region],
) -> Result<Alpha, VerdictError> {
    let alpha = alpha.map_or_else(|| Alpha::new(model.alpha()), Ok)?;
    for region in regions {
        model.calibration().check_for(alpha, region.tiles())?;
    }
    Ok(alpha)
}

impl fmt::Debug for Eye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eye").field("alpha", &self.scorer.alpha()).finish_non_exhaustive()
    }
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was scored: the verdict on each region, and how long that took.
    Scored { verdicts: Vec<Verdict>, took: Duration },
    /// It looks like the last scored one.
    Unchanged,
    /// It was left out to keep the pace.
    Shed,
    /// It shows nothing that can be judged.
    Faulty { kind: FaultKind, why: String },
}

/// What came of a frame, a fault or a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub outcome: Outcome,
    /// The light of the scene has jumped, and events are held off.
    pub light_jumped: bool,
    pub messages: Vec<Message>,
}

/// Judges the frames of one camera.
#[derive(Debug)]
pub struct Watch {
    eye: Eye,
    regions: Vec<Region>,
    size: Option<(u32, u32)>,
    quality: Quality,
    change: Change,
    pace: Pace,
    light: Light,
    decisions: Decisions,
    settings: WatchSettings,
    /// Takes the features of scored frames while it is there.
    pub learner: Option<Learner>,
}

impl Watch {
    /// Watches `regions`, at least one, with frames of `size` if the camera promised one.
    pub fn new(
        device: &str,
        eye: Eye,
        regions: Vec<Region>,
        size: Option<(u32, u32)>,
        settings: &WatchSettings,
        at: Stamp,
    ) -> Watch {
        let names = regions.iter().map(|region| region.name().to_string());
        let alpha = eye.scorer.alpha();
        let mut decisions = Decisions::new(device.to_string(), names, &settings.rules(), alpha);
        // No event is open yet, so nothing is said.
        decisions.set_model(eye.model.calibration(), alpha, at, Machine::default());
        Watch {
            eye,
            regions,
            size,
            quality: settings.quality(size),
            change: Change::new(&settings.gate),
            pace: Pace::new(&settings.pace),
            light: Light::new(settings.alarm.light_change),
            decisions,
            settings: settings.clone(),
            learner: None,
        }
    }

    /// Takes a frame that was captured at `at`.
    ///
    /// # Errors
    ///
    /// A frame that the network refuses, which no picture of a camera is: the model is at fault.
    pub fn frame(
        &mut self,
        frame: &Frame,
        at: Stamp,
        machine: Machine,
    ) -> Result<Step, ModelError> {
        if !self.pace.due(at.mono_ms, machine.temperature_c) {
            return Ok(Step::quiet(Outcome::Shed));
        }
        let picture = match frame.picture() {
            Ok(picture) => picture,
            Err(e) => return Ok(self.fault(fault_kind(&e), e.to_string(), at, machine)),
        };
        let look = Look::at(&picture);
        if let Err((kind, why)) = self.quality.check(&picture, &look) {
            return Ok(self.fault(kind, why, at, machine));
        }
        let mut messages: Vec<Message> = self.decisions.good(at, machine).into_iter().collect();
        let jumped = self.light.jumped(&look, at.mono_ms);
        let light_jumped = jumped && self.decisions.light_jumped(at);
        let attentive = self.decisions.is_attentive() || self.learner.is_some();
        if !self.change.due(&look, at.mono_ms, attentive) {
            return Ok(Step { outcome: Outcome::Unchanged, light_jumped, messages });
        }
        let started = Instant::now();
        let mut verdicts = Vec::with_capacity(self.regions.len());
        for index in 0..self.regions.len() {
            let tiles = self.tiles(index, &picture, at)?;
            messages.extend(self.decisions.scored(index, &tiles, at, machine));
            verdicts.extend(join(&tiles, self.eye.scorer.alpha()));
        }
        let outcome = Outcome::Scored { verdicts, took: started.elapsed() };
        Ok(Step { outcome, light_jumped, messages })
    }

    /// The verdict on each tile of a region.
    fn tiles(
        &mut self,
        region: usize,
        picture: &Rgb,
        at: Stamp,
    ) -> Result<Vec<Verdict>, ModelError> {
        let mut verdicts = Vec::new();
        for crop in self.regions[region].crops(picture) {
            let scorer = &mut self.eye.scorer;
            verdicts.push(match &mut self.learner {
                None => scorer.score(&crop)?,
                Some(learner) => {
                    let features = scorer.features(&crop)?;
                    learner.add(&features, at.mono_ms);
                    scorer.judge(&features)
                }
            });
        }
        Ok(verdicts)
    }

    /// Takes a fault: a frame that is none, or a camera that is away.
    pub fn fault(&mut self, kind: FaultKind, why: String, at: Stamp, machine: Machine) -> Step {
        if matches!(kind, FaultKind::Lost | FaultKind::Stalled) {
            self.quality.reopened(self.size);
        }
        let messages = self.decisions.faulty(kind, &why, at, machine).into_iter().collect();
        Step { outcome: Outcome::Faulty { kind, why }, light_jumped: false, messages }
    }

    /// What is due without a frame; to be called at least every few seconds.
    pub fn tick(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        self.decisions.tick(at, machine)
    }

    /// Ends all events: the program stops.
    pub fn close(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        self.decisions.close(at, machine)
    }

    /// From now on by another model.
    pub fn set_eye(&mut self, eye: Eye, at: Stamp, machine: Machine) -> Vec<Message> {
        self.eye = eye;
        self.meet_model(at, machine)
    }

    /// From now on with another alpha; without one, with the model's own.
    ///
    /// # Errors
    ///
    /// An alpha that the calibration cannot honour; the old one stays.
    pub fn set_alpha(
        &mut self,
        alpha: Option<Alpha>,
        at: Stamp,
        machine: Machine,
    ) -> Result<Vec<Message>, VerdictError> {
        self.eye.set_alpha(alpha, &self.regions)?;
        Ok(self.meet_model(at, machine))
    }

    /// From now on by other settings. What is not changed is not touched; events that are open stay open.
    pub fn set_settings(
        &mut self,
        settings: &WatchSettings,
        at: Stamp,
        machine: Machine,
    ) -> Vec<Message> {
        let old = std::mem::replace(&mut self.settings, settings.clone());
        if old.quality != settings.quality {
            self.quality = settings.quality(self.size);
        }
        if old.gate != settings.gate {
            self.change = Change::new(&settings.gate);
        }
        if old.pace != settings.pace {
            self.pace = Pace::new(&settings.pace);
        }
        if old.alarm.light_change != settings.alarm.light_change {
            self.light = Light::new(settings.alarm.light_change);
        }
        if old.rules() != settings.rules() {
            self.decisions.set_rules(&settings.rules());
        }
        if old.drift == settings.drift { Vec::new() } else { self.meet_model(at, machine) }
    }

    /// Makes decisions know the model in use: tests of drift begin anew.
    fn meet_model(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        let (calibration, alpha) = (self.eye.model.calibration(), self.eye.scorer.alpha());
        self.decisions.set_model(calibration, alpha, at, machine)
    }

    /// What has been decided so far.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// For what is kept over a restart.
    pub fn decisions_mut(&mut self) -> &mut Decisions {
        &mut self.decisions
    }

    /// The model in use.
    pub fn eye(&self) -> &Eye {
        &self.eye
    }

    /// What is watched.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }
}

impl Step {
    fn quiet(outcome: Outcome) -> Step {
        Step { outcome, light_jumped: false, messages: Vec::new() }
    }
}
