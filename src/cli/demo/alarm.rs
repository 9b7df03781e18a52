//! The demo's alarm: that of a device with default settings.

use oddsight::event::{self, Alarm, AlarmSettings};

/// The alarm rule over a stream of verdicts.
pub struct Debounce {
    settings: AlarmSettings,
    rule: event::Debounce,
}

impl Default for Debounce {
    fn default() -> Debounce {
        let settings = AlarmSettings::default();
        Debounce { rule: event::Debounce::new(settings.rule()), settings }
    }
}

impl Debounce {
    /// Takes the verdict on the next frame.
    pub fn step(&mut self, unusual: bool, p_value: f64) -> Alarm {
        self.rule.step(self.settings.level(unusual, p_value))
    }
}
