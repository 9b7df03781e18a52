//! HEAT: residual energy-based models over a prior (Lafon et al., ICML 2023, arXiv 2305.16966).
//!
//! A refined head has the energy `E(z) = f(z)/T + E_prior(z)/T_prior`: the prior (a Gaussian mixture over
//! `avg` or `std`, or the energy of the logits) is fitted first and stays; the residual `f`, a small
//! multi-layer perceptron, is learnt by contrastive divergence against samples of the whole energy.

mod adam;
mod constants;
mod data;
mod draws;
mod hybrid;
mod loss;
mod negatives;
mod network;
mod replay;
mod state;
mod svgd;
#[cfg(test)]
mod tests;
mod train;

pub use constants::{Constants, PriorScore, Proposal, Sampler, StackKind};
pub use data::Data;
pub use draws::Seed;
pub use hybrid::Prior;
pub use state::{Curve, Event, State, Step};
pub use train::{Diverged, EachEvent, train};
