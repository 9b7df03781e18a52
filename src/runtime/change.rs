//! Another model, another configuration, while frames are scored.

use super::errands::in_background;
use super::{Device, InUse, Taken, WatchSettings, honours, identity, refusal};
use crate::clock::Stamp;
use crate::config::{Config, Reload};
use crate::event::Machine;

/// A newly installed model is looked for this often.
const MODEL_MS: u64 = 5000;

impl Device {
    /// Opens a model that was installed since, on a thread of its own, and takes it when it is ready.
    pub(super) fn look_for_model(&mut self, now: Stamp, machine: Machine) {
        if let Some(opening) = self.coming.take_if(|opening| opening.is_finished()) {
            match opening.join() {
                Ok(Ok(taken)) => self.change_model(taken, now, machine),
                Ok(Err(e)) => self.refuse(&e.to_string()),
                Err(_) => self.refuse("it could not be opened"),
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
                Err(e) => self.refuse(&format!("no thread to open it: {e}")),
            }
        }
    }

    /// The model that was tried last is not used.
    fn refuse(&mut self, why: &str) {
        log::error!("the new model is not used: {why}");
        let trouble = self.tried.map(|number| refusal(number, why));
        self.outputs.board.model_trouble(trouble);
    }

    pub(super) fn change_model(&mut self, taken: Taken, now: Stamp, machine: Machine) {
        let Taken { mut eye, name, dir, number, .. } = taken;
        // A reload may have changed it while the model was opened.
        if let Err(e) = eye.set_alpha(self.config.model.alpha, self.watch.regions()) {
            return self.refuse(&format!("model.alpha: {e}"));
        }
        log::info!("from now on with {name}");
        self.learning.model_changed(&mut self.watch);
        self.outputs.board.identify(identity(&self.config, &name, &eye));
        let said = self.watch.set_eye(eye, now, machine);
        self.say(said);
        self.tried = number;
        self.outputs.board.model_trouble(None);
        self.model = InUse { name, dir, number };
    }

    /// Takes over what can be changed while the program runs; nothing of a configuration that the model does not go with.
    pub(super) fn reload(&mut self, new: Config) {
        if let Err(e) = honours(&self.watch.eye().model, new.model.alpha, self.watch.regions()) {
            return log::error!("model.alpha: {e}; the old configuration stays in force");
        }
        for change in self.config.changes(&new) {
            match change.reload {
                Reload::Live => log::info!("{change}"),
                Reload::Restart => log::warn!("{change}"),
            }
        }
        let config = self.config.reloaded(&new);
        let now = self.clock.now();
        let machine = self.sensors.machine(now.mono_ms);
        crate::logger::set_level(config.log.level.filter());
        self.learning.set_minutes(config.learn.minutes);
        let mut said = self.watch.set_settings(&WatchSettings::of(&config), now, machine);
        if config.model.alpha != self.config.model.alpha {
            match self.watch.set_alpha(config.model.alpha, now, machine) {
                Ok(more) => said.extend(more),
                // It was asked for above.
                Err(e) => log::error!("model.alpha: {e}"),
            }
            self.shelf.set_alpha(config.model.alpha);
            // A model that did not go with the old one may go with this.
            self.tried = None;
            let identity = identity(&config, &self.model.name, self.watch.eye());
            self.outputs.board.identify(identity);
        }
        self.say(said);
        self.config = config;
    }
}
