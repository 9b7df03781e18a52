//! How many false alarms to expect of a rule, where nothing unusual ever happens.

use super::{AlarmSettings, Rule};

/// Alarms a day of frames that are normal and have nothing to do with each other, each flagged with a chance of `alpha`,
/// `fps` of which are scored per second.
///
/// A frame raises an alarm if it is flagged and `raise − 1` of the `window − 1` before it are; then the event lasts, and
/// the cool-down after it. The true number is a little smaller (the window is empty after an event), by less than a
/// tenth for the rates that anybody wants. Frames that *do* depend on each other, as those of a camera do, raise more:
/// see `docs/events.md`.
pub fn alarms_per_day(alpha: f64, fps: f64, settings: &AlarmSettings) -> f64 {
    let between_s = 1.0 / (fps * raise_chance(alpha, settings.rule()));
    let event_s = (event_frames(alpha, settings) / fps).max(settings.min_s);
    86_400.0 / (between_s + event_s + settings.cooldown_s as f64)
}

/// The chance that a frame raises an alarm: `alpha · P(Binomial(window − 1, alpha) ≥ raise − 1)`.
pub fn raise_chance(alpha: f64, rule: Rule) -> f64 {
    let Rule { raise, window, .. } = rule.sensible();
    alpha * binomial_tail(window - 1, alpha, raise - 1)
}

/// Frames from an alarm to the end of its event, on average: until `clear_frames` in a row are clear.
fn event_frames(alpha: f64, settings: &AlarmSettings) -> f64 {
    let clear = 1.0 - settings.clear_p.clamp(alpha, 1.0);
    let row = libm::pow(clear, f64::from(settings.rule().clear_frames));
    (1.0 - row) / ((1.0 - clear) * row)
}

/// P(Binomial(n, p) ≥ k).
fn binomial_tail(n: u32, p: f64, k: u32) -> f64 {
    let (ln_p, ln_q) = (libm::log(p), libm::log1p(-p));
    let mut ln_choose = 0.0;
    let mut tail = 0.0;
    for i in 0..=n {
        if i >= k {
            tail += libm::exp(ln_choose + f64::from(i) * ln_p + f64::from(n - i) * ln_q);
        }
        ln_choose += libm::log(f64::from(n - i)) - libm::log(f64::from(i + 1));
    }
    tail.min(1.0)
}

#[cfg(test)]
mod tests;
