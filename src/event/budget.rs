//! Limits over time: alarms per day, and how long a change of light may hold events off.

use std::collections::VecDeque;

/// A day of the monotonic clock.
pub const DAY_MS: u64 = 86_400_000;

/// At most so many alarms in any 24 hours, shared by all regions.
///
/// The 24 hours slide: a fixed day would let twice as many through around its end.
#[derive(Clone, Debug)]
pub struct Budget {
    per_day: u32,
    /// When the alarms of the last 24 hours began, the oldest first; at most `per_day`.
    spent_ms: VecDeque<u64>,
}

impl Budget {
    /// `per_day` of 0 is no limit.
    pub fn new(per_day: u32) -> Budget {
        Budget { per_day, spent_ms: VecDeque::new() }
    }

    /// Asks for an alarm at `now_ms`; says whether it is allowed, and counts it if so.
    pub fn spend(&mut self, now_ms: u64) -> bool {
        if self.per_day == 0 {
            return true;
        }
        self.expire(now_ms);
        let allowed = self.spent_ms.len() < self.per_day as usize;
        if allowed {
            self.spent_ms.push_back(now_ms);
        }
        allowed
    }

    /// Alarms that are left at `now_ms`; `None` without a limit.
    pub fn left(&self, now_ms: u64) -> Option<u32> {
        let spent = self.spent_ms.iter().filter(|&&at_ms| now_ms.saturating_sub(at_ms) < DAY_MS);
        (self.per_day > 0).then(|| self.per_day.saturating_sub(spent.count() as u32))
    }

    /// When the alarms of the last 24 hours began that are counted, the oldest first.
    pub fn spent_ms(&self) -> impl Iterator<Item = u64> {
        self.spent_ms.iter().copied()
    }

    /// From now on with another limit; what was spent stays spent.
    pub fn set_per_day(&mut self, per_day: u32) {
        self.per_day = per_day;
        while self.spent_ms.len() > per_day as usize {
            self.spent_ms.pop_front();
        }
    }

    fn expire(&mut self, now_ms: u64) {
        while self.spent_ms.front().is_some_and(|&at_ms| now_ms.saturating_sub(at_ms) >= DAY_MS) {
            self.spent_ms.pop_front();
        }
    }
}

/// While the light has just changed, no event begins.
///
/// Each jump of the light starts the time anew, but not for ever: a lamp that flickers, or somebody with a torch, must
/// not blind the device. Held time is a debt that free time pays back, and a jump at a debt of more than two lengths
/// is ignored. So of any `t` seconds at most `t / 2 + 1.5` lengths are held.
#[derive(Clone, Debug)]
pub struct HoldOff {
    length_ms: u64,
    until_ms: u64,
    debt_ms: u64,
    /// What `debt_ms` is as of.
    at_ms: u64,
}

impl HoldOff {
    /// A length of 0 never holds anything off.
    pub fn new(length_ms: u64) -> HoldOff {
        HoldOff { length_ms, until_ms: 0, debt_ms: 0, at_ms: 0 }
    }

    /// The light has jumped; says whether that holds events off.
    pub fn jumped(&mut self, now_ms: u64) -> bool {
        let held_ms = now_ms.min(self.until_ms).saturating_sub(self.at_ms);
        let free_ms = now_ms.saturating_sub(self.until_ms.max(self.at_ms));
        self.debt_ms = (self.debt_ms + held_ms).saturating_sub(free_ms);
        self.at_ms = now_ms.max(self.at_ms);
        let honoured = self.length_ms > 0 && self.debt_ms <= self.length_ms.saturating_mul(2);
        if honoured {
            self.until_ms = now_ms.saturating_add(self.length_ms);
        }
        honoured
    }

    /// Whether events are held off.
    pub fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    /// From the next jump on with another length.
    pub fn set_length_ms(&mut self, length_ms: u64) {
        self.length_ms = length_ms;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_budget_of_two_over_midnight() {
        let mut budget = Budget::new(2);
        let hour = DAY_MS / 24;
        let asked = [0, 23, 23, 24, 25, 46, 47, 48].map(|h| budget.spend(h * hour));
        assert_eq!(asked, [true, true, false, true, false, false, true, true]);
        assert_eq!((budget.left(48 * hour), budget.left(72 * hour)), (Some(0), Some(2)));
        assert!((0..100).all(|_| Budget::new(0).spend(0)));
        assert_eq!(Budget::new(0).left(0), None);
    }

    #[test]
    fn a_smaller_budget_counts_what_was_spent() {
        let mut budget = Budget::new(3);
        assert!((0..3).all(|ms| budget.spend(ms)));
        budget.set_per_day(2);
        assert!(!budget.spend(DAY_MS));
        assert!(budget.spend(DAY_MS + 1));
    }

    #[test]
    fn a_jump_holds_and_another_one_prolongs() {
        let mut hold = HoldOff::new(20_000);
        assert!(!hold.holds(0) && hold.jumped(1_000));
        assert!(hold.holds(20_999) && !hold.holds(21_000));
        assert!(hold.jumped(15_000) && hold.holds(34_999) && !hold.holds(35_000));
        assert!(!HoldOff::new(0).jumped(5));
    }

    #[test]
    fn a_flickering_lamp_cannot_hold_for_ever() {
        let mut hold = HoldOff::new(20_000);
        let held = (0..600_000).step_by(100).filter(|&ms| {
            if ms % 1_000 == 0 {
                hold.jumped(ms);
            }
            hold.holds(ms)
        });
        let seconds = held.count() / 10;
        assert!((300..=330).contains(&seconds), "{seconds} of 600 s");
    }

    proptest! {
        #[test]
        fn no_24_hours_have_more_than_the_budget(
            per_day in 1u32..5,
            gaps_h in prop::collection::vec(0u64..20, 1..80),
        ) {
            let mut budget = Budget::new(per_day);
            let mut now = 0;
            let mut allowed: Vec<u64> = Vec::new();
            for gap in gaps_h {
                now += gap * DAY_MS / 24;
                let recent = allowed.iter().filter(|&&at| now - at < DAY_MS).count();
                prop_assert_eq!(budget.spend(now), recent < per_day as usize);
                if recent < per_day as usize {
                    allowed.push(now);
                }
                prop_assert!(budget.spent_ms.len() <= per_day as usize);
            }
        }

        #[test]
        fn at_most_half_of_the_time_is_held(
            gaps_ms in prop::collection::vec(0u64..20, 1..60),
            length_ms in 1u64..15,
        ) {
            let mut hold = HoldOff::new(length_ms);
            let mut held_before = vec![0];
            for gap_ms in gaps_ms {
                let now = held_before.len() as u64 - 1;
                hold.jumped(now);
                for ms in now..now + gap_ms {
                    let held = u64::from(hold.holds(ms));
                    held_before.push(held_before[ms as usize] + held);
                }
            }
            for from in 0..held_before.len() {
                for to in from..held_before.len() {
                    let held = held_before[to] - held_before[from];
                    prop_assert!(2 * held <= (to - from) as u64 + 3 * length_ms);
                }
            }
        }
    }
}
