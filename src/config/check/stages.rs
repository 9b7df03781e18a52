//! From the camera to the event.

use std::time::Duration;

use super::{Checks, WATCHDOG_USEC, nth};
use crate::camera::SourceUri;
use crate::config::Config;

/// Crops of one frame that are scored; more is a slip of the pen.
const MOST_CROPS: u32 = 64;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

impl Checks<'_, '_> {
    pub(super) fn stages(&mut self, config: &Config) {
        self.camera(config);
        self.quality(config);
        self.regions(config);
        self.pace(config);
        self.watchdog(config);
        self.alarm(config);
        self.learn(config);
    }

    fn camera(&mut self, config: &Config) {
        let camera = &config.camera;
        if camera.reopen_ms > camera.reopen_most_ms {
            self.refuse(
                &["camera.reopen_ms", "camera.reopen_most_ms"],
                "the first wait is longer than the longest one: exchange them",
            );
        }
        let source = camera.source.to_string();
        if let (Some((width, height)), Some(asked)) = (camera.size, asked_size(&source))
            && asked != format!("{width}x{height}")
        {
            self.refuse(
                    &["camera.size", "camera.source"],
                    format!("frames of {width}x{height} are wanted and {asked} are asked for: remove one of the two"),
                );
        }
        let fps = option(&source, "fps").and_then(|fps| fps.parse::<f64>().ok());
        if let Some(fps) = fps.filter(|fps| *fps > 0.0 && 2000.0 / fps > camera.stall_ms as f64) {
            self.refuse(
                &["camera.stall_ms", "camera.source"],
                format!(
                    "at {fps} fps a camera that works would be closed: allow the time of two frames"
                ),
            );
        }
        if matches!(camera.source, SourceUri::Synth { .. }) {
            self.warn(&["camera.source"], "this is the simulated camera; for a real one write for example \"v4l2:/dev/video0\"");
        }
    }

    fn quality(&mut self, config: &Config) {
        let quality = &config.quality;
        if quality.black >= quality.saturated {
            self.refuse(
                &["quality.black", "quality.saturated"],
                "every frame would be too dark or too light: black must be less than saturated",
            );
        }
        if quality.frozen_frames == 1 {
            self.refuse(
                &["quality.frozen_frames"],
                "1 would call every frame frozen: write 2 or more identical frames, or 0 for never",
            );
        }
    }

    fn regions(&mut self, config: &Config) {
        let mut crops = 0;
        for (index, region) in config.regions.iter().enumerate() {
            let first = config.regions.iter().position(|other| other.name == region.name);
            if let Some(first) = first.filter(|first| *first < index) {
                let (this, other) = (nth("region", index, "name"), nth("region", first, "name"));
                self.refuse(
                    &[&this, &other],
                    "two regions have one name: events could not be told apart",
                );
            }
            crops += region.tiles[0] * region.tiles[1];
            if crops > MOST_CROPS {
                self.refuse(
                    &[&nth("region", index, "tiles"), &nth("region", index, "name")],
                    format!("with this region {crops} crops of each frame are scored; {MOST_CROPS} is the most"),
                );
                break;
            }
        }
    }

    fn pace(&mut self, config: &Config) {
        let (pace, floor_s) = (&config.pace, config.gate.floor_s);
        let faster = pace.hot_fps == 0.0 || pace.hot_fps > pace.max_fps;
        if pace.max_fps > 0.0 && faster {
            self.refuse(
                &["pace.hot_fps", "pace.max_fps"],
                "more frames would be scored when hot than when cool: write less than max_fps",
            );
        }
        for (key, fps) in [("pace.max_fps", pace.max_fps), ("pace.hot_fps", pace.hot_fps)] {
            // 0 is no limit.
            if fps > 0.0 && fps * (floor_s as f64) < 1.0 {
                self.refuse(
                    &[key, "gate.floor_s"],
                    format!(
                        "at {fps} fps no frame is scored in {floor_s} s: write at least {}",
                        1.0 / floor_s as f64
                    ),
                );
                break;
            }
        }
        if let Some(http) = &config.http
            && http.stale_s <= floor_s
        {
            self.refuse(
                    &["http.stale_s", "gate.floor_s"],
                    format!("/healthz would fail whenever nothing moves for {floor_s} s: write more than gate.floor_s"),
                );
        }
    }

    /// The unit's watchdog is fed by scored frames.
    fn watchdog(&mut self, config: &Config) {
        let given = self.variable(WATCHDOG_USEC).and_then(|text| text.parse().ok());
        let Some(watchdog) = given.map(Duration::from_micros).filter(|time| !time.is_zero()) else {
            return;
        };
        if Duration::from_secs(config.gate.floor_s) >= watchdog / 2 {
            self.refuse(
                &["gate.floor_s"],
                format!(
                    "the unit's watchdog of {} s would end a program that scores a frame each {} s: write less than half of WatchdogSec",
                    watchdog.as_secs_f64(),
                    config.gate.floor_s
                ),
            );
        }
    }

    fn alarm(&mut self, config: &Config) {
        let alarm = &config.alarm;
        if alarm.raise > alarm.window {
            self.refuse(
                &["alarm.raise", "alarm.window"],
                format!(
                    "{} unusual frames among the last {} cannot be: lower raise, or widen window",
                    alarm.raise, alarm.window
                ),
            );
        }
        let alpha = config.model.alpha.map_or(0.0, |alpha| alpha.get());
        if alpha > alarm.clear_p {
            self.warn(
                &["alarm.clear_p", "model.alpha"],
                "does nothing: a frame is clearly normal only if it is not unusual either; write more than alpha",
            );
        }
        let most = DAY_S.checked_div(alarm.cooldown_s).map_or(u64::MAX, |pauses| pauses + 1);
        if u64::from(alarm.budget_per_day) > most.saturating_mul(config.regions.len() as u64) {
            self.warn(
                &["alarm.budget_per_day", "alarm.cooldown_s"],
                format!("the budget never counts: the cool-down alone leaves {most} events a day of a region"),
            );
        }
        if alarm.raise == 1 && alarm.budget_per_day == 0 {
            self.warn(
                &["alarm.raise", "alarm.budget_per_day"],
                "one unusual frame is an alarm, and alpha of the normal ones are unusual: set a budget, or raise above 1",
            );
        }
    }

    fn learn(&mut self, config: &Config) {
        let learn = &config.learn;
        if learn.button_line.is_some() && learn.dir.is_none() {
            self.refuse(
                &["learn.button_line", "learn.dir"],
                "the button would start nothing: name the folder of learnt models in learn.dir",
            );
        }
        if learn.button_line.is_none() && self.is_given("learn.button_chip") {
            self.warn(
                &["learn.button_chip", "learn.button_line"],
                "does nothing without button_line",
            );
        }
    }
}

/// The value of an option of a camera of the kernel, `v4l2:DEVICE?size=640x480&fps=10`.
fn option<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let (_, options) = source.strip_prefix("v4l2:")?.rsplit_once('?')?;
    options.split('&').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// The size that a source asks for, or that its raw frames have: `pipe+raw:FORMAT:640x480:COMMAND`.
fn asked_size(source: &str) -> Option<&str> {
    let raw = source.strip_prefix("pipe+raw:").or(source.strip_prefix("stdin+raw:"));
    match raw {
        Some(raw) => raw.split(':').nth(1),
        None => option(source, "size"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_say_what_they_ask_for() {
        let source = "v4l2:/dev/video0?size=640x480&fps=10";
        assert_eq!(option(source, "fps"), Some("10"));
        assert_eq!(option(source, "format"), None);
        for (source, size) in [
            (source, Some("640x480")),
            ("v4l2:/dev/video0", None),
            ("pipe+raw:rgb3:320x240:cam a:b", Some("320x240")),
            ("stdin+raw:grey:64x64", Some("64x64")),
            ("pipe:curl http://cam/?size=1x1", None),
            ("synth:1", None),
        ] {
            assert_eq!(asked_size(source), size, "{source}");
        }
    }
}
