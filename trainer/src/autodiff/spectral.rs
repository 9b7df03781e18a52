//! Soft spectral normalisation.

use super::{Matrix, Real, multiply};

/// Largest singular value that is left alone.
pub const LIMIT: f64 = 10.0;

/// The largest singular value σ of a matrix by power iteration (Miyato et al. 2018), and the scale
/// `1 / max(1, σ/10)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectral<T> {
    /// Left singular vector, one number per row of the matrix.
    pub left: Vec<T>,
    /// Right singular vector, one number per column.
    right: Vec<T>,
    /// σ
    pub sigma: T,
}

impl<T: Real> Spectral<T> {
    /// One iteration from an estimate of the left singular vector, for `weights` with as many rows.
    pub fn of(weights: &[T], left: &[T]) -> Spectral<T> {
        let columns = weights.len() / left.len();
        let matrix = Matrix::new(weights, columns);
        let mut right = vec![T::zero(); columns];
        multiply(&mut right, Matrix::new(left, left.len()), matrix, false);
        super::unit(&mut right);
        let mut left = vec![T::zero(); left.len()];
        multiply(&mut left, matrix, Matrix::new(&right, 1), false);
        let sigma = super::unit(&mut left);
        Spectral { left, right, sigma }
    }

    /// What the weights are multiplied by.
    pub fn scale(&self) -> T {
        (self.sigma / T::of(LIMIT)).max(T::one()).recip()
    }

    /// Turns the gradient with respect to the scaled weights into that with respect to `weights`; the
    /// singular vectors count as constants: `s·G − [σ > 10] ⟨G, W⟩ (10/σ²) u vᵀ`.
    pub fn backward(&self, weights: &[T], gradient: &mut [T]) {
        let scale = self.scale();
        let along: T = gradient.iter().zip(weights).map(|(&g, &w)| g * w).sum();
        let is_scaled = self.sigma > T::of(LIMIT);
        let turn = if is_scaled { along * scale / self.sigma } else { T::zero() };
        for (row, &u) in gradient.chunks_exact_mut(self.right.len()).zip(&self.left) {
            row.iter_mut().zip(&self.right).for_each(|(g, &v)| *g = *g * scale - turn * u * v);
        }
    }
}
