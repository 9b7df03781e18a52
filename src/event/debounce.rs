//! A few flagged frames close together raise an alarm, and enough clear ones in a row end it.

use std::collections::VecDeque;

/// The k-of-n rule with a clear level of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// An alarm is raised when this many …
    pub raise: u32,
    /// … of this many last frames are flagged, …
    pub window: u32,
    /// … and is over when this many frames in a row are clear.
    pub clear_frames: u32,
}

/// Longest window, in frames.
pub const MOST_WINDOW: u32 = 1000;

impl Rule {
    /// The nearest rule that makes sense: nothing is 0, `raise ≤ window ≤` [`MOST_WINDOW`].
    pub fn sensible(self) -> Rule {
        let window = self.window.clamp(1, MOST_WINDOW);
        Rule { raise: self.raise.clamp(1, window), window, clear_frames: self.clear_frames.max(1) }
    }
}

/// What one frame says. Between the two levels it neither raises an alarm nor helps to end one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// p ≤ alpha.
    Flagged,
    Between,
    /// Not flagged, and p > the clear level.
    Clear,
}

impl Level {
    /// The level of a verdict.
    pub fn of(unusual: bool, p_value: f64, clear_p: f64) -> Level {
        match unusual {
            true => Level::Flagged,
            false if p_value > clear_p => Level::Clear,
            false => Level::Between,
        }
    }
}

/// The alarm after one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// It is on.
    pub on: bool,
    /// It went on with this frame.
    pub raised: bool,
}

/// The rule over a stream of frames.
#[derive(Clone, Debug)]
pub struct Debounce {
    rule: Rule,
    /// Which of the last frames were flagged, while the alarm is off. An alarm that is over leaves none: each alarm is
    /// raised by frames of its own.
    flags: VecDeque<bool>,
    /// How many of `flags` are set.
    flagged: u32,
    /// Clear frames in a row, while the alarm is on.
    clear: u32,
    on: bool,
}

impl Debounce {
    /// A rule that makes no sense becomes the nearest one that does.
    pub fn new(rule: Rule) -> Debounce {
        let rule = rule.sensible();
        Debounce { rule, flags: VecDeque::new(), flagged: 0, clear: 0, on: false }
    }

    /// Takes the next frame.
    pub fn step(&mut self, level: Level) -> Alarm {
        self.step_held(level, false)
    }

    /// Takes the next frame; while `hold`, an alarm that could end stays on.
    pub fn step_held(&mut self, level: Level, hold: bool) -> Alarm {
        if self.on {
            self.clear = if level == Level::Clear { self.clear.saturating_add(1) } else { 0 };
            if self.clear >= self.rule.clear_frames && !hold {
                self.reset();
            }
            return Alarm { on: self.on, raised: false };
        }
        let flag = level == Level::Flagged;
        self.flags.push_back(flag);
        self.flagged += u32::from(flag);
        if self.flags.len() > self.rule.window as usize && self.flags.pop_front() == Some(true) {
            self.flagged -= 1;
        }
        if self.flagged >= self.rule.raise {
            self.reset();
            self.on = true;
        }
        Alarm { on: self.on, raised: self.on }
    }

    /// Whether flagged frames are waiting for more.
    pub fn is_pending(&self) -> bool {
        self.flagged > 0
    }

    /// Forgets everything; an alarm is off.
    pub fn reset(&mut self) {
        *self = Debounce::new(self.rule);
    }

    /// From now on by another rule; frames that wait for more are forgotten, an alarm stays on.
    pub fn set_rule(&mut self, rule: Rule) {
        *self = Debounce { on: self.on, ..Debounce::new(rule) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` is flagged, `-` between the levels, `.` clear; `R` raised, `+` on.
    fn play(rule: Rule, frames: &str) -> String {
        let mut debounce = Debounce::new(rule);
        let mark = |alarm: Alarm| match (alarm.raised, alarm.on) {
            (true, true) => 'R',
            (false, true) => '+',
            (false, false) => '.',
            (true, false) => '?',
        };
        let level = |frame| match frame {
            'x' => Level::Flagged,
            '-' => Level::Between,
            _ => Level::Clear,
        };
        frames.chars().map(|frame| mark(debounce.step(level(frame)))).collect()
    }

    const RULE: Rule = Rule { raise: 3, window: 5, clear_frames: 5 };

    #[test]
    fn three_of_five_raise_and_five_clear_frames_end() {
        assert_eq!(play(RULE, "x....x.x..x....x"), "................");
        assert_eq!(play(RULE, "xx.x......"), "...R++++..");
        assert_eq!(play(RULE, "..xxx"), "....R");
        assert_eq!(play(RULE, "xxx....x....x....."), "..R++++++++++++++.");
    }

    #[test]
    fn frames_between_the_levels_do_neither() {
        assert_eq!(play(RULE, "x-x--x--x"), ".........");
        assert_eq!(play(RULE, "xxx....-....-....."), "..R++++++++++++++.");
    }

    #[test]
    fn an_alarm_is_raised_by_frames_of_its_own() {
        let rule = Rule { clear_frames: 1, ..RULE };
        assert_eq!(play(rule, "xxx.xx.x"), "..R....R");
    }

    #[test]
    fn a_held_alarm_ends_with_the_first_clear_frame_after() {
        let mut debounce = Debounce::new(Rule { raise: 1, window: 1, clear_frames: 2 });
        assert!(debounce.step(Level::Flagged).raised);
        let mut on = |level, hold| debounce.step_held(level, hold).on;
        assert!(on(Level::Clear, true) && on(Level::Clear, true) && on(Level::Clear, true));
        assert!(!on(Level::Clear, false));
    }

    #[test]
    fn a_rule_without_sense_becomes_the_nearest() {
        let zero = Rule { raise: 0, window: 0, clear_frames: 0 };
        assert_eq!(zero.sensible(), Rule { raise: 1, window: 1, clear_frames: 1 });
        let wide = Rule { raise: u32::MAX, window: u32::MAX, clear_frames: 5 };
        assert_eq!(wide.sensible(), Rule { raise: 1000, window: 1000, clear_frames: 5 });
        assert_eq!(play(zero, "x.x"), "R.R");
    }

    #[test]
    fn another_rule_keeps_the_alarm_and_forgets_what_waited() {
        let mut debounce = Debounce::new(RULE);
        debounce.step(Level::Flagged);
        assert!(debounce.is_pending());
        debounce.set_rule(Rule { raise: 2, ..RULE });
        assert!(!debounce.is_pending() && !debounce.step(Level::Flagged).on);
        assert!(debounce.step(Level::Flagged).raised);
        debounce.set_rule(Rule { clear_frames: 1, ..RULE });
        assert!(debounce.step(Level::Between).on);
        assert!(!debounce.step(Level::Clear).on);
    }
}
