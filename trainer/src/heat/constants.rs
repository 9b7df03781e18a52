//! What shapes and trains one residual.

use serde::{Deserialize, Serialize};

/// How the hidden layers of a residual are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackKind {
    /// One hidden layer, applied `depth` times: the authors' networks for CIFAR.
    Tied,
    /// `depth` hidden layers of one width.
    Untied,
    /// `depth` blocks of three layers, of which the last halves the width: the authors' networks for
    /// ImageNet.
    Tapering,
}

/// Which energy of the mixture the residual corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorScore {
    /// `−log Σ_c π_c N(z; μ_c, Σ)`, the authors' code.
    Mixture,
    /// `½ min_c (z−μ_c)ᵀ Σ⁻¹ (z−μ_c)`, the stand-alone score halved, so that its gradient is that of one
    /// component's log-likelihood.
    Mahalanobis,
}

/// Where chains start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposal {
    /// N(0, I).
    Normal,
    /// Samples of the mixture.
    Prior,
    /// Samples of the mixture whose deviations from the mean are multiplied by a factor from
    /// `{t/100, t/10, t, 10t, 100t}`, each as likely, with one `t` uniform in 0…100 per batch.
    PriorTemperature,
    /// The batch itself.
    Data,
}

/// How chains move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// Stochastic gradient Langevin dynamics (Welling and Teh 2011), step size and noise apart.
    Sgld,
    /// Stein variational gradient descent (Liu and Wang 2016) with a Gaussian kernel and the median
    /// heuristic.
    Svgd,
}

/// The constants of one refined head. The keys of a recipe's table are the names of these fields with
/// hyphens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Constants {
    /// L2-normalise rows, for the prior and the residual, and the points of a chain.
    pub normalize: bool,
    /// Width H of the hidden layers.
    pub hidden: usize,
    /// Number n of hidden layers (of blocks, when tapering).
    pub depth: usize,
    /// How the hidden layers are made.
    pub stack: StackKind,
    /// Divide each weight matrix but the last by `max(1, σ/10)`, σ its largest singular value by power
    /// iteration.
    pub spectral_norm: bool,
    /// T
    pub temperature: f64,
    /// T_prior
    pub prior_temperature: f64,
    /// Which energy of a mixture is corrected; has no meaning for `heat-el`.
    pub prior: PriorScore,
    /// Where chains start.
    pub proposal: Proposal,
    /// Draw components as often as the batch has their classes, not as often as training does.
    pub batch_classes: bool,
    /// Chains stay with the component that they were drawn from: the prior's energy in the sampler is
    /// that component's alone.
    pub labelled_prior: bool,
    /// How chains move.
    pub sampler: Sampler,
    /// Number S of steps.
    pub steps: usize,
    /// Step size λ_0; step t of S has `(λ_0 − λ_1)(1 − t/S)² + λ_1` with `λ_1 = anneal · λ_0`.
    pub step_size: f64,
    /// Standard deviation of the noise of step 0, with the same schedule.
    pub noise: f64,
    /// Where both schedules end, as a share of where they start.
    pub anneal: f64,
    /// Set negative features to 0 after each step.
    pub relu: bool,
    /// Negatives are the ends of the chains and, as many again, their starts.
    pub keep_start: bool,
    /// Capacity of the replay buffer of persistent contrastive divergence (Tieleman 2008); 0 is none.
    pub replay: usize,
    /// Share of chains that start anew although the buffer could start them.
    pub replay_restart: f64,
    /// Standard deviation of the noise on data and negatives in the loss.
    pub data_noise: f64,
    /// Weight of the squared energies in the loss.
    pub l2: f64,
    /// Passes over the data.
    pub epochs: usize,
    /// Rows N of a batch; the last incomplete batch of an epoch is left out.
    pub batch: usize,
    /// Batches whose gradients make one step of Adam.
    pub accumulate: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Epochs after which the step size is multiplied by `gamma`.
    pub milestones: Vec<usize>,
    /// See `milestones`.
    pub gamma: f64,
}
