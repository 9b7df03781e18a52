//! How many a second, over the last seconds.

/// Length of the window in seconds.
const WINDOW_S: usize = 10;

/// Counts per second of a sliding window.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Count of second `s` at `s % (WINDOW_S + 1)`; one more than the window, for the second that is not over.
    counts: [u32; WINDOW_S + 1],
    /// First second that was ever counted, and the newest.
    first: Option<u64>,
    newest: u64,
}

impl Rate {
    /// Counts one at `mono_ms`.
    pub fn count(&mut self, mono_ms: u64) {
        let second = mono_ms / 1000;
        self.first.get_or_insert(second);
        self.forget_until(second);
        let counter = &mut self.counts[(self.newest % (WINDOW_S as u64 + 1)) as usize];
        *counter = counter.saturating_add(1);
    }

    /// Mean of the last whole seconds.
    pub fn per_second(&self, now_ms: u64) -> f64 {
        let now = now_ms / 1000;
        let Some(first) = self.first else { return 0.0 };
        let from = now.saturating_sub(WINDOW_S as u64).max(first);
        let whole = now.saturating_sub(from);
        if whole == 0 {
            return 0.0;
        }
        let sum: u64 = (from..now)
            .filter(|&second| second <= self.newest && self.newest - second <= WINDOW_S as u64)
            .map(|second| u64::from(self.counts[(second % (WINDOW_S as u64 + 1)) as usize]))
            .sum();
        sum as f64 / whole as f64
    }

    /// Empties the counters of the seconds between the newest and `second`.
    fn forget_until(&mut self, second: u64) {
        let length = WINDOW_S as u64 + 1;
        let passed = second.saturating_sub(self.newest).min(length);
        for i in 0..passed {
            self.counts[((second - i) % length) as usize] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(5_000), 0.0);
        for i in 0..200 {
            rate.count(1_000_000 + i * 100);
        }
        assert_eq!(rate.per_second(1_020_000), 10.0);
        assert_eq!(rate.per_second(1_025_500), 5.0);
        assert_eq!(rate.per_second(1_031_000), 0.0);
        rate.count(2_000_000);
        assert_eq!(rate.per_second(2_001_000), 0.1);
    }

    #[test]
    fn the_first_seconds_count_for_themselves() {
        let mut rate = Rate::default();
        (0..30).for_each(|i| rate.count(7_000_000 + i * 100));
        assert_eq!(rate.per_second(7_003_000), 10.0);
        assert_eq!(rate.per_second(7_000_500), 0.0);
    }

    proptest! {
        #[test]
        fn any_times_are_taken(times in prop::collection::vec(any::<u64>(), 0..50), now in any::<u64>()) {
            let mut rate = Rate::default();
            for time in times {
                rate.count(time);
                prop_assert!(rate.per_second(now) >= 0.0);
            }
        }
    }
}
