//! A uniform sample of a stream.

use crate::backbone::Features;
use crate::random::Random;

/// At most `most` of the rows that were added, each with the same chance (Vitter 1985, algorithm R).
pub(super) struct Sample {
    rows: Vec<Features>,
    most: usize,
    seen: u64,
    random: Random,
}

impl Sample {
    pub(super) fn new(most: usize, seed: u64) -> Sample {
        Sample { rows: Vec::new(), most, seen: 0, random: Random::new(seed) }
    }

    pub(super) fn add(&mut self, features: &Features) {
        self.seen += 1;
        if self.rows.len() < self.most {
            self.rows.push(features.clone());
            return;
        }
        let slot = usize::try_from(self.random.below(self.seen)).unwrap_or(usize::MAX);
        if let Some(kept) = self.rows.get_mut(slot) {
            kept.clone_from(features);
        }
    }

    /// How many rows were added.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn rows(&self) -> &[Features] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: i32) -> Features {
        Features { avg: vec![i], ..Features::default() }
    }

    #[test]
    fn every_row_is_equally_likely() {
        let mut counts = [0u32; 20];
        for seed in 0..4000 {
            let mut sample = Sample::new(5, seed);
            (0..20).for_each(|i| sample.add(&row(i)));
            assert_eq!((sample.seen(), sample.rows().len()), (20, 5));
            sample.rows().iter().for_each(|row| counts[row.avg[0] as usize] += 1);
        }
        // Expected 1000 with a standard deviation of 27.
        assert!(counts.iter().all(|count| (880..1120).contains(count)), "{counts:?}");
    }

    #[test]
    fn short_streams_are_kept_whole() {
        let mut sample = Sample::new(5, 1);
        (0..3).for_each(|i| sample.add(&row(i)));
        assert_eq!(sample.rows(), [row(0), row(1), row(2)]);
    }
}
