//! The replay buffer of persistent contrastive divergence (Tieleman 2008; Du and Mordatch 2019).

use std::collections::VecDeque;

use super::draws::Draws;

/// Ends of earlier chains, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    rows: VecDeque<f32>,
    width: usize,
    /// Most rows.
    capacity: usize,
    /// Share of chains that start anew.
    restart: f64,
}

impl Replay {
    /// A buffer that holds `rows` already.
    pub fn new(rows: &[f32], width: usize, capacity: usize, restart: f64) -> Replay {
        Replay { rows: rows.iter().copied().collect(), width, capacity, restart }
    }

    /// All rows, the oldest first.
    pub fn rows(&self) -> Vec<f32> {
        self.rows.iter().copied().collect()
    }

    /// Replaces the last starts by rows of the buffer, drawn with replacement, once it is half full.
    /// A share of `restart`, rounded up, stays. Returns whether it was.
    pub fn start(&self, starts: &mut [f32], draws: &mut Draws) -> bool {
        let held = self.rows.len() / self.width;
        if held == 0 || 2 * held < self.capacity {
            return false;
        }
        let fresh = (self.restart * (starts.len() / self.width) as f64).ceil() as usize;
        for start in starts.chunks_exact_mut(self.width).skip(fresh) {
            let from = draws.below(held) * self.width;
            start.iter_mut().zip(self.rows.range(from..)).for_each(|(x, &kept)| *x = kept);
        }
        true
    }

    /// Adds the ends of chains; the oldest rows make room.
    pub fn push(&mut self, ends: &[f32]) {
        self.rows.extend(ends);
        let excess = self.rows.len().saturating_sub(self.capacity * self.width);
        self.rows.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::{Purpose, Seed};
    use super::*;

    #[test]
    fn oldest_rows_leave_and_chains_go_on() {
        let mut replay = Replay::new(&[], 2, 4, 0.25);
        let mut draws = Seed(1).stream(Purpose::Batch, 0, 0, 0);
        let mut starts = [9.0; 8];
        replay.push(&[1.0, 1.0]);
        assert!(!replay.start(&mut starts, &mut draws), "less than half full");
        assert_eq!(starts, [9.0; 8]);
        replay.push(&[2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]);
        assert_eq!(replay.rows(), [2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]);
        assert!(replay.start(&mut starts, &mut draws));
        assert_eq!(starts[..2], [9.0; 2], "a quarter starts anew");
        for start in starts[2..].chunks_exact(2) {
            assert!(start[0] == start[1] && (2.0..=5.0).contains(&start[0]), "{starts:?}");
        }
    }
}
