//! The stratified bootstrap: normal frames and every unusual set resampled independently.

use super::ranking::{Draws, Normals, Ranking};
use super::{Options, Scored, Separation};
use oddsight::random::Random;
use rayon::prelude::*;

/// The figures of one replicate.
pub(super) struct Replicate {
    /// Per head, the 95th percentile of the normal energies.
    pub thresholds: Vec<f64>,
    /// Per head, the unusual sets in order and then their mean.
    pub separations: Vec<Vec<Separation>>,
}

/// Everything that all replicates share.
pub(super) struct Bootstrap {
    normal_frames: usize,
    unusual_frames: Vec<usize>,
    heads: Vec<HeadOrder>,
}

/// The sorted energies of one head; one ranking per unusual set.
struct HeadOrder {
    normals: Normals,
    rankings: Vec<Ranking>,
}

impl Bootstrap {
    /// Sorts once; the sets are checked, and all hold the same heads.
    pub(super) fn new(normal: &Scored, unusual: &[Scored]) -> Bootstrap {
        let heads = normal.energies.par_iter().enumerate().map(|(h, energies)| HeadOrder {
            normals: Normals::new(energies),
            rankings: unusual.iter().map(|set| Ranking::new(energies, &set.energies[h])).collect(),
        });
        Bootstrap {
            normal_frames: normal.energies[0].len(),
            unusual_frames: unusual.iter().map(|set| set.energies[0].len()).collect(),
            heads: heads.collect(),
        }
    }

    /// The figures of the frames as given, each drawn once.
    pub(super) fn point(&self) -> Replicate {
        self.measure(|counts| counts.fill(1))
    }

    /// One entry per replicate, the same whatever the number of threads: each replicate has a
    /// seed of its own.
    pub(super) fn replicates(&self, options: &Options) -> Vec<Replicate> {
        let mut seeds = Random::new(options.seed);
        let seeds: Vec<u64> = (0..options.resamples.get()).map(|_| seeds.next_u64()).collect();
        let replicate = |&seed: &u64| {
            let mut random = Random::new(seed);
            self.measure(|counts| {
                for _ in 0..counts.len() {
                    counts[random.below(counts.len() as u64) as usize] += 1;
                }
            })
        };
        seeds.par_iter().map(replicate).collect()
    }

    /// `draw` turns zeros, one per frame of a set, into how often each is drawn: first for the
    /// normal set, then for each unusual one.
    fn measure(&self, mut draw: impl FnMut(&mut [u32])) -> Replicate {
        let mut drawn = |frames: usize| {
            let mut counts = vec![0; frames];
            draw(&mut counts);
            counts
        };
        let mut draws: Vec<Draws> = drawn(self.normal_frames).iter().map(|&n| [n, 0]).collect();
        let thresholds: Vec<f64> =
            self.heads.iter().map(|head| head.normals.percentile_95(&draws)).collect();
        let mut separations = vec![Vec::new(); self.heads.len()];
        for (set, &frames) in self.unusual_frames.iter().enumerate() {
            draws.truncate(self.normal_frames);
            draws.extend(drawn(frames).iter().map(|&n| [0, n]));
            for ((head, &threshold), separations) in
                self.heads.iter().zip(&thresholds).zip(&mut separations)
            {
                separations.push(head.rankings[set].separation(&draws, threshold));
            }
        }
        for separations in &mut separations {
            separations.push(Separation::mean(separations));
        }
        Replicate { thresholds, separations }
    }
}
