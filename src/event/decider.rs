//! From the verdicts on one region to events.

use std::collections::VecDeque;

use super::debounce::{Debounce, Level, Rule};
use super::{Budget, Cause, Phase, Told, Unusual};
use crate::verdict::Verdict;

/// Section `[alarm]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmSettings {
    /// An event starts when this many …
    pub raise: u32,
    /// … of this many last frames are flagged (p ≤ alpha); 1 to 1000.
    pub window: u32,
    /// A frame is clear when it is not flagged and its p-value is larger than this …
    pub clear_p: f64,
    /// … and so many clear frames in a row end the event, …
    pub clear_frames: u32,
    /// … but not sooner than this after its start was told.
    pub min_s: f64,
    /// After an event, frames of its region do not count for so long.
    pub cooldown_s: u64,
    /// Alarms in any 24 hours, of all regions together; further events are suppressed. 0 is no limit.
    pub budget_per_day: u32,
    /// Time between updates of an event; 0 tells none.
    pub update_s: u64,
    /// A change of the mean luma by so many grey levels within two seconds is a change of the light; 0 sees none.
    pub light_change: u8,
    /// After a change of the light no event starts for so long.
    pub light_holdoff_s: u64,
}

impl Default for AlarmSettings {
    fn default() -> AlarmSettings {
        AlarmSettings {
            raise: 3,
            window: 5,
            clear_p: 0.2,
            clear_frames: 5,
            min_s: 0.0,
            cooldown_s: 60,
            budget_per_day: 0,
            update_s: 10,
            light_change: 40,
            light_holdoff_s: 20,
        }
    }
}

impl AlarmSettings {
    /// How frames raise and end an alarm.
    pub fn rule(&self) -> Rule {
        let &AlarmSettings { raise, window, clear_frames, .. } = self;
        Rule { raise, window, clear_frames }.sensible()
    }

    /// What a verdict says to that rule.
    pub fn level(&self, unusual: bool, p_value: f64) -> Level {
        Level::of(unusual, p_value, self.clear_p)
    }
}

/// Decides for one region.
#[derive(Clone, Debug)]
pub struct Decider {
    region: String,
    settings: AlarmSettings,
    debounce: Debounce,
    /// The frames that `debounce` has in its window: the first ones of the next event.
    window: VecDeque<Seen>,
    open: Option<Open>,
    /// The cool-down lasts until here.
    ready_ms: u64,
    /// The last frame.
    last_ms: u64,
}

/// What is kept of a frame.
#[derive(Clone, Debug)]
struct Seen {
    at_ms: u64,
    energy: f64,
    p_value: f64,
    unusual: bool,
    nearest: Option<String>,
}

#[derive(Clone, Debug)]
struct Open {
    started_ms: u64,
    raised_ms: u64,
    said_ms: u64,
    so_far: Unusual,
}

impl Decider {
    /// A decider without an event.
    pub fn new(region: String, settings: &AlarmSettings) -> Decider {
        Decider {
            region,
            settings: settings.clone(),
            debounce: Debounce::new(settings.rule()),
            window: VecDeque::new(),
            open: None,
            ready_ms: 0,
            last_ms: 0,
        }
    }

    /// Takes the verdict on the region's next frame. `held`: the light has just changed.
    ///
    /// A frame gives at most one message, and one that ends an event counts for no other.
    pub fn scored(
        &mut self,
        verdict: &Verdict,
        now_ms: u64,
        held: bool,
        budget: &mut Budget,
    ) -> Option<Told> {
        self.last_ms = now_ms;
        let seen = Seen::new(verdict, now_ms);
        if self.open.is_some() {
            return self.go_on(seen);
        }
        if held || now_ms < self.ready_ms {
            self.forget();
            return None;
        }
        let level = self.settings.level(seen.unusual, seen.p_value);
        self.window.push_back(seen);
        if self.window.len() > self.settings.rule().window as usize {
            self.window.pop_front();
        }
        if self.debounce.step(level).raised { self.start(now_ms, budget) } else { None }
    }

    /// Ends an event whose region has not been seen for `unseen_ms` or longer.
    pub fn lapse(&mut self, now_ms: u64, unseen_ms: u64) -> Option<Told> {
        let unseen = now_ms.saturating_sub(self.last_ms) >= unseen_ms;
        if unseen { self.end(now_ms) } else { None }
    }

    /// Ends an event that is open, whatever its frames say, and forgets frames that wait for more.
    pub fn close(&mut self, now_ms: u64) -> Option<Told> {
        self.forget();
        self.end(now_ms)
    }

    /// Frames that wait for more are forgotten: what comes next has nothing to do with them.
    pub fn forget(&mut self) {
        if self.open.is_none() {
            self.debounce.reset();
            self.window.clear();
        }
    }

    /// No event starts before this time.
    pub fn cool_until(&mut self, ready_ms: u64) {
        self.ready_ms = self.ready_ms.max(ready_ms);
    }

    /// Whether an event is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When the cool-down is over.
    pub fn ready_ms(&self) -> u64 {
        self.ready_ms
    }

    /// The event that is open, as an update would tell it now.
    pub fn told(&self) -> Option<Told> {
        self.open.as_ref().map(|open| open.tell(Phase::Update))
    }

    /// Whether the next frames matter, moved or not: an event must end, or flagged frames wait for more.
    pub fn is_attentive(&self) -> bool {
        self.open.is_some() || self.debounce.is_pending()
    }

    /// What the region is called.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// From now on by other settings: an open event stays, frames that wait for more are forgotten, and a cool-down that
    /// runs keeps its end.
    pub fn set_settings(&mut self, settings: &AlarmSettings) {
        self.settings = settings.clone();
        self.debounce.set_rule(settings.rule());
        self.window.clear();
    }

    fn start(&mut self, now_ms: u64, budget: &mut Budget) -> Option<Told> {
        let mut frames = self.window.drain(..).skip_while(|seen| !seen.unusual);
        // The frame that raised it is flagged.
        let first = frames.next()?;
        let started_ms = first.at_ms;
        let mut so_far = Unusual {
            region: self.region.clone(),
            frames: 1,
            unusual_frames: 1,
            energy: first.energy,
            p_value: first.p_value,
            peak_energy: first.energy,
            peak_p_value: first.p_value,
            nearest: first.nearest,
            suppressed: false,
        };
        frames.for_each(|seen| add(&mut so_far, seen));
        so_far.suppressed = !budget.spend(now_ms);
        let open = Open { started_ms, raised_ms: now_ms, said_ms: now_ms, so_far };
        Some(self.open.insert(open).tell(Phase::Start))
    }

    fn go_on(&mut self, seen: Seen) -> Option<Told> {
        let open = self.open.as_mut()?;
        let now_ms = seen.at_ms;
        let level = self.settings.level(seen.unusual, seen.p_value);
        add(&mut open.so_far, seen);
        let too_short = now_ms.saturating_sub(open.raised_ms) < ms(self.settings.min_s);
        if !self.debounce.step_held(level, too_short).on {
            return self.end(now_ms);
        }
        let update_ms = self.settings.update_s.saturating_mul(1000);
        if update_ms == 0 || now_ms.saturating_sub(open.said_ms) < update_ms {
            return None;
        }
        open.said_ms = now_ms;
        Some(open.tell(Phase::Update))
    }

    fn end(&mut self, now_ms: u64) -> Option<Told> {
        let open = self.open.take()?;
        self.debounce.reset();
        self.cool_until(now_ms.saturating_add(self.settings.cooldown_s.saturating_mul(1000)));
        Some(open.tell(Phase::End))
    }
}

impl Seen {
    fn new(verdict: &Verdict, at_ms: u64) -> Seen {
        let &Verdict { energy, p_value, unusual, .. } = verdict;
        // The peak of an event is a flagged frame.
        let nearest = if unusual { verdict.nearest.clone() } else { None };
        Seen { at_ms, energy, p_value, unusual, nearest }
    }
}

impl Open {
    fn tell(&self, phase: Phase) -> Told {
        let cause = Cause::Unusual(self.so_far.clone());
        Told { phase, started_ms: self.started_ms, cause }
    }
}

fn add(so_far: &mut Unusual, seen: Seen) {
    so_far.frames += 1;
    so_far.unusual_frames += u64::from(seen.unusual);
    (so_far.energy, so_far.p_value) = (seen.energy, seen.p_value);
    if seen.energy > so_far.peak_energy {
        (so_far.peak_energy, so_far.peak_p_value) = (seen.energy, seen.p_value);
        so_far.nearest = seen.nearest;
    }
}

/// Seconds as milliseconds; what is no positive number is 0.
fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
