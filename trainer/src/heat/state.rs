//! A training run between two epochs.

use serde::{Deserialize, Serialize};

/// Everything that a run needs to go on as if it had never stopped. Random numbers are drawn from
/// streams named by seed, epoch and batch, so there is no generator to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Finished epochs.
    pub epochs: usize,
    /// Parameters of the residual, in the order of `Stack`.
    pub parameters: Vec<f32>,
    /// Adam's first moments.
    pub first_moments: Vec<f32>,
    /// Adam's second moments.
    pub second_moments: Vec<f32>,
    /// Steps that Adam has taken.
    pub updates: u64,
    /// Estimates of the left singular vectors, for spectral normalisation; empty without it.
    pub singular: Vec<f32>,
    /// The replay buffer, row by row, the oldest first; empty without one.
    pub replay: Vec<f32>,
    /// One entry per finished epoch.
    pub curves: Vec<Curve>,
}

/// Means over the batches of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The loss that is minimised.
    pub loss: f64,
    /// Residual energy `f/T` of the data.
    pub data_energy: f64,
    /// The same of the negatives.
    pub sample_energy: f64,
    /// Euclidean distance from the start to the end of a chain.
    pub moved: f64,
}

/// Where training stands after a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Finished epochs: 0 during the first one.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Finished batches of this epoch: 1 after its first one.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// The loss that is minimised, of this batch.
    pub loss: f64,
    /// Mean residual energy `f/T` of the batch's data.
    pub data_energy: f64,
    /// The same of its negatives.
    pub sample_energy: f64,
    /// Mean Euclidean distance from the start to the end of its chains.
    pub moved: f64,
}

/// What training tells of itself.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The first batch of this process begins.
    Start,
    /// A batch is done.
    Step(&'a Step),
    /// An epoch is done; this is what a checkpoint holds.
    Epoch(&'a State),
    /// The residual is finished.
    Done,
}
