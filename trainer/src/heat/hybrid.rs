//! The whole energy of a refined head: residual and prior.

use crate::autodiff::{
    Dense, Fused, Mixture, MixtureScratch, Panels, Pull, Real, Stack, Trace, log_sum_exp_backward,
    unit,
};

use super::draws::Draws;

/// The energy that a residual corrects.
#[derive(Clone, Debug)]
pub enum Prior<T> {
    /// Of a Gaussian mixture, by its own score.
    Mixture(Mixture<T>),
    /// Of the logits that a linear layer gives: weights (classes × D) and biases.
    Logits { weights: Vec<T>, biases: Vec<T> },
}

impl<T: Real> Prior<T> {
    /// Length of a row.
    pub fn width(&self) -> usize {
        match self {
            Prior::Mixture(mixture) => mixture.width(),
            Prior::Logits { weights, biases } => weights.len() / biases.len(),
        }
    }

    /// Adds `scale` times the gradient of each row's energy to `out`. Labels count for a mixture only.
    fn add_gradient(
        &self,
        rows: &[T],
        labels: Option<&[u32]>,
        scale: T,
        scratch: &mut Scratch<T>,
        out: &mut [T],
    ) {
        match self {
            Prior::Mixture(mixture) => {
                let pull = labels.map_or(mixture.pull(), Pull::Labels);
                mixture.add_gradient(rows, pull, scale, &mut scratch.mixture, out);
            }
            Prior::Logits { weights, biases } => {
                let layer = Dense { weights, biases };
                let Scratch { logits, gradient, .. } = scratch;
                logits.resize(rows.len() / layer.inputs() * biases.len(), T::zero());
                layer.forward(rows, logits);
                for row in logits.chunks_exact_mut(biases.len()) {
                    log_sum_exp_backward(row, -scale);
                }
                gradient.resize(rows.len(), T::zero());
                layer.backward(logits, gradient);
                out.iter_mut().zip(gradient).for_each(|(sum, &mut g)| *sum += g);
            }
        }
    }
}

/// Buffers of one block of rows.
#[derive(Clone, Debug, Default)]
pub struct Scratch<T> {
    /// Of the residual.
    pub trace: Trace<T>,
    panels: Panels,
    mixture: MixtureScratch<T>,
    logits: Vec<T>,
    gradient: Vec<T>,
    noise: Vec<T>,
}

/// `E(z) = f(z)/T + E_prior(z)/T_prior`, and the space that chains live in.
#[derive(Clone, Copy, Debug)]
pub struct Hybrid<'a, T> {
    /// f
    pub stack: &'a Stack<T>,
    /// E_prior
    pub prior: &'a Prior<T>,
    /// T
    pub temperature: f64,
    /// T_prior
    pub prior_temperature: f64,
    /// Whether rows have no negative entry.
    pub relu: bool,
    /// Whether rows have unit length.
    pub normalize: bool,
}

/// The schedule of a chain: step sizes and standard deviations of the noise, one of each per step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    steps: Vec<[f64; 2]>,
}

impl Schedule {
    /// `s(t) = (s_0 − s_1)(1 − t/S)² + s_1` with `s_1 = anneal · s_0`, t in 0 … S − 1, for both.
    pub fn new(steps: usize, step_size: f64, noise: f64, anneal: f64) -> Schedule {
        let at = |t: usize, start: f64| {
            let end = anneal * start;
            (start - end) * (1.0 - t as f64 / steps as f64).powi(2) + end
        };
        Schedule { steps: (0..steps).map(|t| [at(t, step_size), at(t, noise)]).collect() }
    }

    /// Step size and noise of each step.
    pub fn steps(&self) -> &[[f64; 2]] {
        &self.steps
    }
}

impl<T: Real> Hybrid<'_, T> {
    /// Brings each row into the space that chains live in.
    pub fn project(&self, rows: &mut [T]) {
        for row in rows.chunks_exact_mut(self.stack.layout().width()) {
            self.project_row(row);
        }
    }

    fn project_row(&self, row: &mut [T]) {
        if self.relu {
            // What is not a number stays so, for the loss to show it.
            row.iter_mut().filter(|x| **x < T::zero()).for_each(|x| *x = T::zero());
        }
        if self.normalize {
            unit(row);
        }
    }

    /// The gradient of each row's energy; with labels, the prior's is that of the row's component.
    pub fn gradient(
        &self,
        rows: &[T],
        labels: Option<&[u32]>,
        scratch: &mut Scratch<T>,
        out: &mut Vec<T>,
    ) {
        out.resize(rows.len(), T::zero());
        self.stack.forward(rows, &mut scratch.trace);
        self.stack.backward(&mut scratch.trace, T::of(self.temperature.recip()), out);
        let scale = T::of(self.prior_temperature.recip());
        self.prior.add_gradient(rows, labels, scale, scratch, out);
    }

    /// Stochastic gradient Langevin dynamics on a block of projected rows, in place; `draws` has a
    /// stream per row. A step is `z ← P(z − λ ∇E(z) − ε ξ)`; `gradient_of` writes `∇E` as
    /// [`Hybrid::gradient`] does.
    pub fn langevin(
        &self,
        gradient_of: impl Fn(&[T], &mut Scratch<T>, &mut Vec<T>),
        rows: &mut [T],
        schedule: &Schedule,
        draws: &mut [Draws],
        scratch: &mut Scratch<T>,
    ) {
        let width = self.stack.layout().width();
        let mut gradient = Vec::new();
        let mut noise = std::mem::take(&mut scratch.noise);
        noise.resize(width, T::zero());
        for &[step_size, deviation] in schedule.steps() {
            gradient_of(rows, scratch, &mut gradient);
            let (step_size, deviation) = (T::of(step_size), T::of(deviation));
            let rows = rows.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
            for ((row, gradient), draws) in rows.zip(draws.iter_mut()) {
                if deviation > T::zero() {
                    draws.normal(&mut noise);
                }
                for ((z, &g), &xi) in row.iter_mut().zip(gradient).zip(&noise) {
                    *z = *z - step_size * g - deviation * xi;
                }
                self.project_row(row);
            }
        }
        scratch.noise = noise;
    }
}

impl Hybrid<'_, f32> {
    /// The residual packed for [`Hybrid::gradient_fused`]; `None` on a processor without vectors, where
    /// that would be the slower way.
    pub fn fused(&self) -> Option<Fused> {
        Fused::is_vectorised().then(|| Fused::new(self.stack, self.temperature.recip() as f32))
    }

    /// What [`Hybrid::gradient`] gives, but for rounding, by the packed residual.
    pub fn gradient_fused(
        &self,
        fused: &Fused,
        rows: &[f32],
        labels: Option<&[u32]>,
        scratch: &mut Scratch<f32>,
        out: &mut Vec<f32>,
    ) {
        out.resize(rows.len(), 0.0);
        fused.gradient(rows, &mut scratch.panels, out);
        let scale = self.prior_temperature.recip() as f32;
        self.prior.add_gradient(rows, labels, scale, scratch, out);
    }
}
