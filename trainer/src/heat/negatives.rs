//! Negatives: points that the whole energy finds likely.

use rayon::prelude::*;

use super::constants::{Constants, Proposal, Sampler};
use super::data::Batch;
use super::draws::{Draws, Purpose, Seed};
use super::hybrid::{Hybrid, Prior, Schedule, Scratch};
use super::loss::block_rows;
use super::replay::Replay;
use super::svgd::svgd;
use crate::autodiff::Mixture;

/// Draws the negatives of one batch after the other.
pub struct Chains<'a> {
    constants: &'a Constants,
    schedule: Schedule,
    /// Ends of earlier chains, where chains go on.
    pub replay: Option<Replay>,
    blocks: Vec<Scratch<f32>>,
}

/// Which batch of which run.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub seed: Seed,
    pub epoch: usize,
    pub batch: usize,
}

/// Negatives and the mean Euclidean distance from the start to the end of a chain.
#[derive(Clone, Debug, Default)]
pub struct Negatives {
    /// The ends of the chains, then, with `keep-start`, their starts.
    pub rows: Vec<f32>,
    pub moved: f64,
}

/// Starts of chains, row by row, the components that they belong to (none when they belong to none), and
/// the streams that go on with the noise.
struct Starts {
    rows: Vec<f32>,
    labels: Vec<u32>,
    draws: Vec<Draws>,
}

impl<'a> Chains<'a> {
    /// Chains of these constants, with what the buffer held when the run stopped.
    pub fn new(constants: &'a Constants, width: usize, replay: &[f32]) -> Chains<'a> {
        let Constants { steps, step_size, noise, anneal, .. } = *constants;
        let buffer = || Replay::new(replay, width, constants.replay, constants.replay_restart);
        Chains {
            constants,
            schedule: Schedule::new(steps, step_size, noise, anneal),
            replay: (constants.replay > 0).then(buffer),
            blocks: Vec::new(),
        }
    }

    /// As many chains as the batch has rows. Runs on the threads of the current rayon pool.
    pub fn run(&mut self, hybrid: &Hybrid<f32>, batch: &Batch, place: Place) -> Negatives {
        let width = hybrid.stack.layout().width();
        let mut starts = self.starts(hybrid.prior, batch, place);
        if let Some(replay) = &self.replay {
            let mut draws = place.seed.stream(Purpose::Batch, place.epoch, place.batch, 1);
            // A row of the buffer belongs to no component; recipes refuse to mix them with rows that do.
            if replay.start(&mut starts.rows, &mut draws) {
                starts.labels.clear();
            }
        }
        hybrid.project(&mut starts.rows);
        let mut ends = starts.rows.clone();
        match self.constants.sampler {
            Sampler::Sgld => self.langevin(hybrid, &mut ends, &mut starts),
            Sampler::Svgd => {
                self.blocks.resize_with(1, Scratch::default);
                let draws = &mut starts.draws;
                svgd(hybrid, &mut ends, &self.schedule, draws, &mut self.blocks[0]);
            }
        }
        if let Some(replay) = &mut self.replay {
            replay.push(&ends);
        }
        let pairs = ends.chunks_exact(width).zip(starts.rows.chunks_exact(width));
        let moved = pairs.clone().map(|(end, start)| distance(end, start)).sum::<f64>();
        let moved = moved / pairs.len() as f64;
        if self.constants.keep_start {
            ends.extend_from_slice(&starts.rows);
        }
        Negatives { rows: ends, moved }
    }

    fn langevin(&mut self, hybrid: &Hybrid<f32>, ends: &mut [f32], starts: &mut Starts) {
        let width = hybrid.stack.layout().width();
        let rows = block_rows(ends.len() / width);
        let Starts { labels, draws, .. } = starts;
        self.blocks.resize_with(draws.len().div_ceil(rows), Scratch::default);
        let schedule = &self.schedule;
        let fused = hybrid.fused();
        let labelled = self.constants.labelled_prior && !labels.is_empty();
        let blocks = ends.par_chunks_mut(rows * width).zip(draws.par_chunks_mut(rows));
        blocks.zip(&mut self.blocks).enumerate().for_each(|(i, ((ends, draws), scratch))| {
            let labels = labelled.then(|| &labels[i * rows..][..draws.len()]);
            let gradient =
                |rows: &[f32], scratch: &mut Scratch<f32>, out: &mut Vec<f32>| match &fused {
                    Some(fused) => hybrid.gradient_fused(fused, rows, labels, scratch, out),
                    None => hybrid.gradient(rows, labels, scratch, out),
                };
            hybrid.langevin(gradient, ends, schedule, draws, scratch);
        });
    }

    fn starts(&self, prior: &Prior<f32>, batch: &Batch, place: Place) -> Starts {
        let width = prior.width();
        let count = batch.rows.len() / width;
        let stream = |row| place.seed.stream(Purpose::Chain, place.epoch, place.batch, row);
        let mut draws: Vec<Draws> = (0..count).map(stream).collect();
        let mut rows = batch.rows.clone();
        let mut labels = Vec::new();
        match (self.constants.proposal, prior) {
            (Proposal::Data, _) if self.constants.batch_classes => labels = batch.labels.clone(),
            (Proposal::Data, _) => {}
            (Proposal::Prior | Proposal::PriorTemperature, Prior::Mixture(mixture)) => {
                let mut common = place.seed.stream(Purpose::Batch, place.epoch, place.batch, 0);
                let t = 100.0 * common.unit();
                let weights = self.component_weights(mixture, batch);
                labels = draws.iter_mut().map(|draws| draws.choose(&weights) as u32).collect();
                for (draws, row) in draws.iter_mut().zip(rows.chunks_exact_mut(width)) {
                    draws.normal(row);
                    if self.constants.proposal == Proposal::PriorTemperature {
                        let factor = t * [0.01, 0.1, 1.0, 10.0, 100.0][draws.below(5)];
                        row.iter_mut().for_each(|x| *x *= factor as f32);
                    }
                }
                rows = around_means(mixture, &rows, &labels);
            }
            // The energy of the logits has no samples.
            (Proposal::Normal | Proposal::Prior | Proposal::PriorTemperature, _) => {
                draws
                    .iter_mut()
                    .zip(rows.chunks_exact_mut(width))
                    .for_each(|(d, row)| d.normal(row));
            }
        }
        Starts { rows, labels, draws }
    }

    /// Probability of each component.
    fn component_weights(&self, mixture: &Mixture<f32>, batch: &Batch) -> Vec<f64> {
        if !self.constants.batch_classes || batch.labels.is_empty() {
            let log_weights = mixture.log_weights().iter();
            return log_weights.map(|&log_weight| f64::from(log_weight).exp()).collect();
        }
        let mut shares = vec![0.0; mixture.components()];
        batch.labels.iter().for_each(|&label| shares[label as usize] += 1.0);
        shares.iter_mut().for_each(|share| *share /= batch.labels.len() as f64);
        shares
    }
}

/// `μ_c + L ε`
fn around_means(mixture: &Mixture<f32>, normal: &[f32], labels: &[u32]) -> Vec<f32> {
    let mut rows = vec![0.0; normal.len()];
    mixture.colour(normal, &mut rows);
    for (row, &label) in rows.chunks_exact_mut(mixture.width()).zip(labels) {
        row.iter_mut().zip(mixture.mean(label as usize)).for_each(|(x, m)| *x += m);
    }
    rows
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}
