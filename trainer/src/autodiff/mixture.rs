//! The energy of a Gaussian mixture with one covariance.

use oddsight::energy::float::{Gmm, GmmScore};

use super::{Matrix, Real, Spectral, log_sum_exp, multiply};

/// Which component pulls at a row.
#[derive(Clone, Copy, Debug)]
pub enum Pull<'a> {
    /// Each as much as it explains the row: `−log Σ_c π_c N(z; μ_c, Σ)`.
    All,
    /// The nearest: `½ min_c (z−μ_c)ᵀ Σ⁻¹ (z−μ_c)`.
    Nearest,
    /// The row's own: `−log N(z; μ_y, Σ)`.
    Labels(&'a [u32]),
}

/// A mixture of K components in whitened space: with `w = L⁻¹ z` and `v_c = L⁻¹ μ_c`, the squared
/// Mahalanobis distance is `‖w − v_c‖²`.
#[derive(Clone, Debug)]
pub struct Mixture<T> {
    width: usize,
    /// L⁻¹, D × D.
    whitener: Vec<T>,
    /// L, D × D.
    factor: Vec<T>,
    /// v_c, K × D.
    whitened_means: Vec<T>,
    /// μ_c, K × D.
    means: Vec<T>,
    /// ½ ‖v_c‖²
    half_squares: Vec<T>,
    log_weights: Vec<T>,
    /// Part of a component's energy that is the same everywhere: `½ D log 2π + Σ log L_ii`.
    constant: T,
    score: GmmScore,
}

/// Buffers that [`Mixture`] re-uses.
#[derive(Clone, Debug, Default)]
pub struct MixtureScratch<T> {
    whitened: Vec<T>,
    shares: Vec<T>,
}

impl<T: Real> Mixture<T> {
    /// From a fitted mixture; the inverse of its whitener is taken in `f64`.
    pub fn new(gmm: &Gmm) -> Mixture<T> {
        let width = gmm.width as usize;
        let whitener = square(&gmm.whitener, width);
        let factor = inverse(&whitener, width);
        let mut means = vec![0.0; gmm.whitened_means.len()];
        let transposed = Matrix::new(&factor, width).t();
        multiply(&mut means, Matrix::new(&gmm.whitened_means, width), transposed, false);
        let halves = gmm.whitened_means.chunks_exact(width);
        let half_squares = halves.map(|v| 0.5 * v.iter().map(|x| x * x).sum::<f64>());
        let log_two_pi = (2.0 * std::f64::consts::PI).ln();
        Mixture {
            width,
            half_squares: half_squares.map(T::of).collect(),
            whitener: narrow(&whitener),
            factor: narrow(&factor),
            whitened_means: narrow(&gmm.whitened_means),
            means: narrow(&means),
            log_weights: narrow(&gmm.log_weights),
            constant: T::of(0.5 * log_two_pi * width as f64 + gmm.half_log_det),
            score: gmm.score,
        }
    }

    /// D
    pub fn width(&self) -> usize {
        self.width
    }

    /// K
    pub fn components(&self) -> usize {
        self.log_weights.len()
    }

    /// `log π_c`
    pub fn log_weights(&self) -> &[T] {
        &self.log_weights
    }

    /// What the mixture's own score says.
    pub fn pull(&self) -> Pull<'static> {
        match self.score {
            GmmScore::Mixture => Pull::All,
            GmmScore::MinMahalanobis => Pull::Nearest,
        }
    }

    /// Adds `scale` times the gradient of each row's energy to `out`.
    ///
    /// The gradient is `Σ⁻¹(z − Σ_c r_c μ_c) = L⁻ᵀ (w − Σ_c r_c v_c)`, with the share r_c of each
    /// component in the row.
    pub fn add_gradient(
        &self,
        rows: &[T],
        pull: Pull,
        scale: T,
        scratch: &mut MixtureScratch<T>,
        out: &mut [T],
    ) {
        self.whiten(rows, scratch);
        self.share(pull, scratch);
        let MixtureScratch { whitened, shares } = scratch;
        // w·scale − (r·scale) V, in two steps that write once each.
        shares.iter_mut().for_each(|r| *r *= -scale);
        whitened.iter_mut().for_each(|w| *w *= scale);
        let means = Matrix::new(&self.whitened_means, self.width);
        multiply(whitened, Matrix::new(shares, self.components()), means, true);
        let whitener = Matrix::new(&self.whitener, self.width);
        multiply(out, Matrix::new(whitened, self.width), whitener, true);
    }

    /// Writes the energy of each row.
    pub fn energies(&self, rows: &[T], pull: Pull, scratch: &mut MixtureScratch<T>, out: &mut [T]) {
        self.whiten(rows, scratch);
        let MixtureScratch { whitened, shares } = scratch;
        let half = T::of(0.5);
        for (i, energy) in out.iter_mut().enumerate() {
            let w = &whitened[i * self.width..(i + 1) * self.width];
            let scores = &shares[i * self.components()..(i + 1) * self.components()];
            let half_square = half * w.iter().map(|&x| x * x).sum::<T>();
            let plain = |c: usize| scores[c] - self.log_weights[c];
            *energy = half_square
                + match pull {
                    Pull::All => self.constant - log_sum_exp(scores),
                    Pull::Nearest => -(0..scores.len()).map(plain).fold(T::neg_infinity(), T::max),
                    Pull::Labels(labels) => self.constant - plain(labels[i] as usize),
                };
        }
    }

    /// `‖Σ⁻¹‖ = ‖L⁻¹‖²`, the largest curvature of a component's energy, from below: by 50 power
    /// iterations.
    pub fn curvature(&self) -> T {
        let mut left = vec![T::one(); self.width];
        let mut norm = T::zero();
        for _ in 0..50 {
            let spectral = Spectral::of(&self.whitener, &left);
            (left, norm) = (spectral.left, spectral.sigma);
        }
        norm * norm
    }

    /// Rows of standard normal numbers become deviations `L ε` from a mean.
    pub fn colour(&self, normal: &[T], out: &mut [T]) {
        let factor = Matrix::new(&self.factor, self.width).t();
        multiply(out, Matrix::new(normal, self.width), factor, false);
    }

    /// μ_c
    pub fn mean(&self, component: usize) -> &[T] {
        &self.means[component * self.width..(component + 1) * self.width]
    }

    /// Fills in w, and `w·v_c − ½‖v_c‖² + log π_c` of each component.
    fn whiten(&self, rows: &[T], scratch: &mut MixtureScratch<T>) {
        let (d, k) = (self.width, self.components());
        let MixtureScratch { whitened, shares } = scratch;
        whitened.resize(rows.len(), T::zero());
        multiply(whitened, Matrix::new(rows, d), Matrix::new(&self.whitener, d).t(), false);
        shares.resize(rows.len() / d * k, T::zero());
        let means = Matrix::new(&self.whitened_means, d).t();
        multiply(shares, Matrix::new(whitened, d), means, false);
        for row in shares.chunks_exact_mut(k) {
            for (c, score) in row.iter_mut().enumerate() {
                *score += self.log_weights[c] - self.half_squares[c];
            }
        }
    }

    /// Turns scores into shares.
    fn share(&self, pull: Pull, scratch: &mut MixtureScratch<T>) {
        let only = |row: &mut [T], c: usize| {
            row.fill(T::zero());
            row[c] = T::one();
        };
        for (i, row) in scratch.shares.chunks_exact_mut(self.components()).enumerate() {
            match pull {
                Pull::All => super::log_sum_exp_backward(row, T::one()),
                Pull::Labels(labels) => only(row, labels[i] as usize),
                Pull::Nearest => {
                    let plain = |c: usize| row[c] - self.log_weights[c];
                    let nearer = |best, c| if plain(c) > plain(best) { c } else { best };
                    let nearest = (1..row.len()).fold(0, nearer);
                    only(row, nearest);
                }
            }
        }
    }
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::of(x)).collect()
}

/// A lower triangle, row by row, as a whole matrix.
fn square(triangle: &[f64], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; width * width];
    let mut rest = triangle;
    for (i, row) in out.chunks_exact_mut(width).enumerate() {
        let (own, next) = rest.split_at(i + 1);
        row[..=i].copy_from_slice(own);
        rest = next;
    }
    out
}

/// Inverse of a lower triangular matrix by forward substitution: row i of the inverse is
/// `(e_i − Σ_{j<i} W_ij row_j) / W_ii`.
fn inverse(lower: &[f64], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; width * width];
    for i in 0..width {
        let (known, rest) = out.split_at_mut(i * width);
        let row = &mut rest[..width];
        row[i] = 1.0;
        for (j, other) in known.chunks_exact(width).enumerate() {
            let weight = lower[i * width + j];
            row[..=j].iter_mut().zip(other).for_each(|(x, y)| *x -= weight * y);
        }
        let diagonal = lower[i * width + i];
        row[..=i].iter_mut().for_each(|x| *x /= diagonal);
    }
    out
}
