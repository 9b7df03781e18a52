//! What a device does every second, whether frames come or not.

use super::Device;
use crate::clock::Stamp;
use crate::event::{FaultKind, Machine};
use crate::status::DriftStatus;

/// A camera thread that did not come round for so long hangs, or for as long as the watchdog waits: opening a device may
/// take some seconds, reading may not.
const CAMERA_HANGS_MS: u64 = 60_000;

/// A model that was opened and got no frame for so long is not to blame.
const EXCUSED_MS: u64 = 30_000;

impl Device {
    /// What is due every second.
    pub(super) fn chores(&mut self, now: Stamp, machine: Machine) {
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
        board.learning(self.learning.progress(&self.watch, now));
        board.metrics().overwritten(self.capture.overwritten());
        for _ in self.openings..self.capture.openings() {
            board.metrics().opened();
        }
        self.openings = self.capture.openings();
        self.outputs.report(now, &self.errands);
        if let Some(memo) = &mut self.memo {
            memo.keep(self.watch.decisions(), now, machine, &self.errands);
        }
        // Without a camera there is nothing that the model could fail at.
        let has_waited = now.mono_ms.saturating_sub(self.started_ms) >= EXCUSED_MS;
        if has_waited || self.watch.decisions().fault().is_some() {
            self.excuse();
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
}
