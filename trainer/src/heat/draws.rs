//! Random numbers that depend on where they are used, not on what was drawn before.
//!
//! Each row of each batch has its own stream, so results are the same on any number of threads, and a run
//! can go on from any epoch.

use std::convert::Infallible;

use oddsight::random::Random;
use rand_core::TryRng;
use rand_distr::{Distribution, StandardNormal};

use crate::autodiff::Real;

/// What a stream is for: streams of one place but another purpose have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Parameters before training.
    Initial,
    /// The order of rows in an epoch.
    Order,
    /// What a whole batch has in common.
    Batch,
    /// Start and noise of one chain.
    Chain,
    /// Noise on one row in the loss.
    DataNoise,
}

/// Names a run's random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of one row (0 where there is none) of a batch of an epoch.
    pub fn stream(self, purpose: Purpose, epoch: usize, batch: usize, row: usize) -> Draws {
        let mut random = Random::new(self.0);
        // Each coordinate seeds anew, mixed with what came before: no two places meet but by chance.
        for coordinate in [purpose as u64, epoch as u64, batch as u64, row as u64] {
            random = Random::new(random.next_u64() ^ coordinate);
        }
        Draws(random)
    }
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Draws(Random);

impl Draws {
    /// Standard normal numbers.
    pub fn normal<T: Real>(&mut self, out: &mut [T]) {
        for x in out {
            let normal: f64 = StandardNormal.sample(self);
            *x = T::of(normal);
        }
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// Uniform in `0..n`. Panics when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// An index with these probabilities, which add up to one.
    pub fn choose(&mut self, probabilities: &[f64]) -> usize {
        let mut left = self.unit();
        let found = probabilities.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        // Rounding may leave a rest behind the last one.
        found.unwrap_or(probabilities.len() - 1)
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.0.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}
