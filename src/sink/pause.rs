//! How long to wait before the next try.

use crate::random::Random;

/// Pauses that double from a first to a longest one. Each is drawn from the upper half of its span, so that boxes that
/// lost one broker do not come back in step.
#[derive(Clone, Debug)]
pub(super) struct Pause {
    first_ms: u64,
    most_ms: u64,
    /// Pauses since the last success.
    taken: u32,
    random: Random,
}

impl Pause {
    pub fn new(first_ms: u64, most_ms: u64, seed: u64) -> Pause {
        let first_ms = first_ms.max(1);
        Pause { first_ms, most_ms: most_ms.max(first_ms), taken: 0, random: Random::new(seed) }
    }

    /// The next pause, in milliseconds; at least half of the first one.
    pub fn next_ms(&mut self) -> u64 {
        let doubled = self.first_ms.saturating_mul(1 << self.taken.min(32));
        self.taken = self.taken.saturating_add(1);
        let span = doubled.min(self.most_ms);
        span - self.random.below(span / 2 + 1)
    }

    /// A try went well: the next pause is a first one.
    pub fn reset(&mut self) {
        self.taken = 0;
    }
}

/// A seed that differs between machines, boots and names.
pub(super) fn seed(name: &str) -> u64 {
    // FNV-1a.
    let bytes = crate::clock::boot_id().bytes().chain([0]).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        for seed in 0..50 {
            let mut pause = Pause::new(1000, 60_000, seed);
            for round in 0..2 {
                for span in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
                    let ms = pause.next_ms();
                    assert!(
                        (span / 2..=span).contains(&ms),
                        "seed {seed}, {round}: {ms} of {span}"
                    );
                }
                pause.reset();
            }
        }
    }

    #[test]
    fn odd_settings_give_pauses_all_the_same() {
        let mut nothing = Pause::new(0, 0, 1);
        assert_eq!((nothing.next_ms(), nothing.next_ms()), (1, 1));
        let mut endless = Pause::new(u64::MAX, 5, 1);
        assert!((0..100).all(|_| endless.next_ms() >= u64::MAX / 2));
        assert_ne!(seed("mqtt"), seed("webhook"));
    }
}
