//! Learning while watching: asked for by a signal or a button, on the frames that are scored anyway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::RuntimeError;
use super::errands::in_background;
use super::shelf::{Shelf, Taken};
use super::watch::{Watch, honours};
use crate::clock::{Stamp, utc};
use crate::config::LearnSettings;
use crate::gate::Region;
use crate::gpio::Button;
use crate::learn::Learner;
use crate::model::store::{Trust, version_of};
use crate::model::{BACKBONE_FILE, write_model};

/// What the names of learnt models begin with.
const NAME: &str = "learnt-";

/// Where learning stands.
pub struct Learning {
    /// Where learnt models go; without it nothing is learnt.
    dir: Option<PathBuf>,
    minutes: f64,
    /// Set by the button's thread, which ends when nobody reads it any more.
    button: Option<Arc<AtomicBool>>,
    state: State,
}

enum State {
    Idle,
    Watching {
        since: Stamp,
    },
    /// Fitting takes seconds to minutes, on a thread of its own.
    Fitting(JoinHandle<Result<Taken, String>>),
}

impl Learning {
    /// Learning as `[learn]` wants it.
    ///
    /// # Errors
    ///
    /// A button whose line cannot be opened.
    pub fn new(settings: &LearnSettings) -> Result<Learning, RuntimeError> {
        let button = match settings.button_line {
            None => None,
            Some(line) => Some(listen(Button::open(&settings.button_chip, line)?)?),
        };
        Ok(Learning {
            dir: settings.dir.clone(),
            minutes: settings.minutes,
            button,
            state: State::Idle,
        })
    }

    /// Another length, also of what is going on.
    pub fn set_minutes(&mut self, minutes: f64) {
        self.minutes = minutes;
    }

    /// The button was pressed since the last call.
    pub fn button_pressed(&self) -> bool {
        self.button.as_ref().is_some_and(|pressed| pressed.swap(false, Relaxed))
    }

    /// Begins to learn, unless it does already.
    pub fn begin(&mut self, watch: &mut Watch, shelf: &Shelf, now: Stamp) {
        if shelf.wants_signature() && shelf.store().is_none() {
            return log::error!(
                "nothing is learnt: model.public_key lets a learnt model come into use in a store only; make one with \
                 `oddsight model install`"
            );
        }
        if self.dir.is_none() {
            return log::warn!("nothing is learnt: learn.dir does not say where learnt models go");
        }
        if !matches!(self.state, State::Idle) {
            return log::warn!("learning goes on already");
        }
        let tiles = watch.regions().iter().map(Region::tiles).max().unwrap_or(1);
        let length_ms = (self.minutes * 60_000.0) as u64;
        let learner = Learner::new(watch.eye().model.clone(), now.mono_ms).within(length_ms);
        match learner.for_alpha(watch.eye().scorer.alpha(), tiles) {
            Ok(learner) => watch.learner = Some(learner),
            Err(e) => return log::error!("nothing is learnt: {e}"),
        }
        log::info!(
            "learning for {} minutes: what the camera shows now becomes normal",
            self.minutes
        );
        self.state = State::Watching { since: now };
    }

    /// The model in use is another one now: what was seen through the old one says nothing to it.
    pub fn model_changed(&mut self, watch: &mut Watch) {
        if watch.learner.take().is_some() {
            log::warn!("nothing was learnt: another model came into use; start it again");
            self.state = State::Idle;
        }
    }

    /// A learnt model is on its way.
    pub fn is_fitting(&self) -> bool {
        matches!(self.state, State::Fitting(_))
    }

    /// In words, while it learns.
    pub fn progress(&self, watch: &Watch, now: Stamp) -> Option<String> {
        match &self.state {
            State::Idle => None,
            State::Watching { since } => {
                let progress = watch.learner.as_ref()?.progress();
                let left_s = (self.minutes * 60.0) as u64;
                let left_s =
                    left_s.saturating_sub(now.mono_ms.saturating_sub(since.mono_ms) / 1000);
                let frames = progress.fit_frames + progress.calibration_frames;
                Some(format!("learning: {frames} frames so far, {left_s} s to go"))
            }
            State::Fitting(_) => Some("learning: fitting heads".into()),
        }
    }

    /// Goes on; gives the new model when it is there and has passed its self-test. `dir` is the directory of the model in
    /// use.
    pub fn step(
        &mut self,
        watch: &mut Watch,
        shelf: &Shelf,
        dir: &Path,
        now: Stamp,
    ) -> Option<Taken> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => None,
            State::Watching { since } => {
                let passed_ms = now.mono_ms.saturating_sub(since.mono_ms);
                self.state = if (passed_ms as f64) < self.minutes * 60_000.0 {
                    State::Watching { since }
                } else {
                    self.fit(watch, shelf, dir, now)
                };
                None
            }
            State::Fitting(thread) if !thread.is_finished() => {
                self.state = State::Fitting(thread);
                None
            }
            State::Fitting(thread) => match thread.join() {
                Ok(Ok(taken)) => Some(taken),
                Ok(Err(why)) => {
                    log::error!("nothing was learnt: {why}");
                    None
                }
                Err(_) => {
                    log::error!("nothing was learnt: fitting failed");
                    None
                }
            },
        }
    }

    fn fit(&self, watch: &mut Watch, shelf: &Shelf, base: &Path, now: Stamp) -> State {
        let (Some(learner), Some(dir)) = (watch.learner.take(), self.dir.clone()) else {
            return State::Idle;
        };
        let (shelf, regions) = (shelf.clone(), watch.regions().to_vec());
        let base = base.to_path_buf();
        match in_background("learn", move || finish(learner, &base, &dir, &shelf, &regions, now)) {
            Ok(thread) => State::Fitting(thread),
            Err(e) => {
                log::error!("nothing was learnt: no thread to fit on: {e}");
                State::Idle
            }
        }
    }
}

/// A thread that waits for the button: contacts that flutter must not hold frames up.
fn listen(mut button: Button) -> io::Result<Arc<AtomicBool>> {
    const LOOK: Duration = Duration::from_secs(1);
    let pressed = Arc::new(AtomicBool::new(false));
    let wanted = Arc::downgrade(&pressed);
    thread::Builder::new().name("button".into()).spawn(move || {
        loop {
            let seen = button.pressed(LOOK);
            let Some(pressed) = wanted.upgrade() else { break };
            match seen {
                Ok(true) => pressed.store(true, Relaxed),
                Ok(false) => {}
                Err(e) => return log::warn!("the button does not work any more: {e}"),
            }
        }
    })?;
    Ok(pressed)
}

/// Fits, writes the model directory, and installs it where there is a store. What cannot be used is not left behind.
fn finish(
    learner: Learner,
    base: &Path,
    dir: &Path,
    shelf: &Shelf,
    regions: &[Region],
    now: Stamp,
) -> Result<Taken, String> {
    let learnt = learner.finish().map_err(|e| e.to_string())?;
    // What was cut off by a crash.
    let _ = remove(dir, &|name| name.strip_prefix('.').is_some_and(|name| name.starts_with(NAME)));
    let name = format!("{NAME}{}", utc(now.utc_ms).replace(':', ""));
    let to = dir.join(name);
    let (backbone, version) = (base.join(BACKBONE_FILE), version_of(base));
    write_model(&to, &backbone, &learnt.blob, &learnt.card(now), Some(version))
        .map_err(|e| format!("{}: {e}", to.display()))?;
    let taken = take(&to, shelf, regions);
    if taken.is_err() {
        // The error that is reported is the first one.
        let _ = fs::remove_dir_all(&to);
    } else {
        let frames = learnt.frames[0] + learnt.frames[1];
        log::info!("learnt from {frames} frames: {}", to.display());
    }
    taken
}

/// Takes a learnt model into use.
fn take(learnt: &Path, shelf: &Shelf, regions: &[Region]) -> Result<Taken, String> {
    let why = |e: RuntimeError| e.to_string();
    let Some(store) = shelf.store() else {
        let taken = shelf.open(learnt, None, regions).map_err(why)?;
        log::warn!(
            "model.dir is no store, so the learnt model is in use until the next start: set model.dir to {}",
            learnt.display()
        );
        return Ok(taken);
    };
    // It was made here, so nobody else's signature is asked for; and it goes back to no older version.
    let trust = Trust { public_key: None, force: true };
    let installed = store.install_if(learnt, &trust, &|model| {
        honours(model, shelf.alpha(), regions).map(drop).map_err(|e| format!("model.alpha: {e}"))
    });
    let installed = installed.map_err(|e| e.to_string())?;
    let taken = shelf.open(&installed.dir, Some(installed.number), regions).map_err(why)?;
    // The store has what it needs of the older ones, and each is as large as its backbone.
    let dir = learnt.parent().unwrap_or(learnt);
    let newest = learnt.file_name().unwrap_or_default().to_string_lossy();
    if let Err(e) = remove(dir, &|name| is_ours(name) && name != newest) {
        log::warn!("{}: {e}; older learnt models stay there", learnt.display());
    }
    Ok(taken)
}

/// Removes the folders of `dir` that are called so.
fn remove(dir: &Path, is_called: &dyn Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_called(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a learnt model is called so: by a moment, and not as people call theirs.
fn is_ours(name: &str) -> bool {
    let moment = name.strip_prefix(NAME).unwrap_or_default();
    moment.ends_with('Z') && moment.chars().all(|c| c.is_ascii_digit() || "-T.Z".contains(c))
}
