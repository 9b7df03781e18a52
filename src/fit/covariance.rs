//! Covariances: their accumulation, and the triangular factor that whitens with them.

use nalgebra::{DMatrix, DMatrixView};

use super::{FitError, FitErrorKind};

/// Rows that are multiplied at once: enough for the matrix product to run at full speed.
const BLOCK_ROWS: usize = 256;

/// A Schur complement below this part of the largest variance is rounding, not variance.
const LEAST_PIVOT: f64 = 1e-12;

/// Smallest ridge that is tried, as a power of ten of the mean variance: what the other features do not
/// notice when one is constant.
const LEAST_RIDGE: i32 = -10;
/// The same with no more rows than features. New normal rows vary in the directions that are left without
/// variance, and their energies must stay within the range of the integers, or no threshold has a meaning.
const LEAST_RIDGE_OF_FEW: i32 = -4;

/// Up to [`BLOCK_ROWS`] rows relative to a centre, one per column.
pub(super) struct Block {
    columns: DMatrix<f64>,
    filled: usize,
}

impl Block {
    pub(super) fn new(width: usize) -> Block {
        Block { columns: DMatrix::zeros(width, BLOCK_ROWS), filled: 0 }
    }

    /// Adds `row − centre` to a block that is not full, and says whether it is now.
    pub(super) fn push(&mut self, row: &[f64], centre: &[f64]) -> bool {
        let mut column = self.columns.column_mut(self.filled);
        column.iter_mut().zip(row.iter().zip(centre)).for_each(|(out, (x, c))| *out = x - c);
        self.filled += 1;
        self.filled == BLOCK_ROWS
    }

    /// The rows so far; the block is empty afterwards.
    pub(super) fn take(&mut self) -> DMatrixView<'_, f64> {
        self.columns.columns(0, std::mem::take(&mut self.filled))
    }
}

/// Sum of outer products of residuals.
pub(super) struct Scatter {
    sum: DMatrix<f64>,
    block: Block,
    count: u64,
}

impl Scatter {
    pub(super) fn new(width: usize) -> Scatter {
        Scatter { sum: DMatrix::zeros(width, width), block: Block::new(width), count: 0 }
    }

    /// Adds `row − mean`.
    pub(super) fn push(&mut self, row: &[f64], mean: &[f64]) {
        self.count += 1;
        if self.block.push(row, mean) {
            self.flush();
        }
    }

    /// The covariance, divided by the number of residuals (biased).
    pub(super) fn covariance(mut self) -> DMatrix<f64> {
        self.flush();
        self.sum / self.count.max(1) as f64
    }

    fn flush(&mut self) {
        let block = self.block.take();
        self.sum.gemm(1.0, &block, &block.transpose(), 1.0);
    }
}

/// `Σ + ridge·I = L Lᵀ`.
pub(super) struct Factor {
    /// L; entries above the diagonal have no meaning.
    lower: DMatrix<f64>,
    pub(super) ridge: f64,
}

impl Factor {
    /// Factors a covariance. When it is singular (or so near that its factor would be rounding
    /// noise), the smallest ridge of a mean variance × 10⁻¹⁰, 10⁻⁹, … 1 that helps is added, from 10⁻⁴ on
    /// when it is that of no more `rows` than features.
    pub(super) fn of(covariance: &DMatrix<f64>, rows: u64) -> Result<Factor, FitError> {
        if let Some(lower) = cholesky(covariance.clone()) {
            return Ok(Factor { lower, ridge: 0.0 });
        }
        let mean_variance = covariance.trace() / covariance.nrows() as f64;
        let is_few = rows <= covariance.nrows() as u64;
        for power in if is_few { LEAST_RIDGE_OF_FEW } else { LEAST_RIDGE }..=0 {
            let ridge = mean_variance * 10f64.powi(power);
            if let Some(lower) = cholesky(raised(covariance.clone(), ridge)) {
                return Ok(Factor { lower, ridge });
            }
        }
        Err(FitError::new(
            FitErrorKind::Singular,
            format!(
                "the covariance of {} features stays singular with any ridge (mean variance \
                 {mean_variance:e}): add pictures that differ, or check the backbone",
                covariance.nrows()
            ),
        ))
    }

    /// Says that a fit needed a ridge, which was `ridge` in all.
    pub(super) fn warn_of_ridge(&self, ridge: f64) {
        if ridge > 0.0 {
            let width = self.lower.nrows();
            let mean_variance = self.lower.lower_triangle().norm_squared() / width as f64 - ridge;
            log::warn!(
                "the covariance of {width} features is singular: added a ridge of {ridge:e} to a \
                 mean variance of {mean_variance:e}; constant features or fewer than {width} rows \
                 cause this"
            );
        }
    }

    /// `½ log det = Σ log L_ii`.
    pub(super) fn half_log_det(&self) -> f64 {
        self.lower.diagonal().iter().map(|x| x.ln()).sum()
    }

    /// `(L Lᵀ)⁻¹ right`, or `None` when it overflows.
    pub(super) fn solve(&self, right: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let half = self.lower.solve_lower_triangular(right)?;
        self.lower.tr_solve_lower_triangular(&half)
    }

    /// `L⁻¹`, lower triangle row by row.
    pub(super) fn whitener(&self) -> Result<Vec<f64>, FitError> {
        let width = self.lower.nrows();
        let inverse = self.lower.solve_lower_triangular(&DMatrix::identity(width, width));
        let inverse = inverse.filter(|inverse| inverse.iter().all(|x| x.is_finite()));
        let inverse = inverse.ok_or_else(|| {
            let message = format!("the covariance of {width} features has no finite inverse");
            FitError::new(FitErrorKind::Singular, message)
        })?;
        Ok((0..width).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|at| inverse[at]).collect())
    }
}

/// `matrix + ridge·I`.
pub(super) fn raised(mut matrix: DMatrix<f64>, ridge: f64) -> DMatrix<f64> {
    (0..matrix.nrows()).for_each(|i| matrix[(i, i)] += ridge);
    matrix
}

/// L, if the matrix is finite and clearly positive definite.
fn cholesky(matrix: DMatrix<f64>) -> Option<DMatrix<f64>> {
    let largest = matrix.diagonal().max();
    let lower = matrix.cholesky()?.unpack_dirty();
    let clear = |pivot: f64| pivot.is_finite() && pivot * pivot >= LEAST_PIVOT * largest;
    lower.diagonal().iter().all(|&pivot| clear(pivot)).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_equals_the_definition_across_blocks() {
        let row = |i: usize| [(i as f64).sin() + 5.0, (i as f64 * 0.7).cos(), (i % 3) as f64];
        let mean = [5.0, 0.25, 1.0];
        for n in [1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 3] {
            let mut scatter = Scatter::new(3);
            (0..n).for_each(|i| scatter.push(&row(i), &mean));
            let covariance = scatter.covariance();
            for (a, b) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
                let entry: f64 =
                    (0..n).map(|i| (row(i)[a] - mean[a]) * (row(i)[b] - mean[b])).sum();
                assert!((covariance[(a, b)] - entry / n as f64).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn ridge_is_zero_when_not_needed_and_the_smallest_when_needed() {
        let regular = DMatrix::from_row_slice(2, 2, &[4.0, 2.0, 2.0, 5.0]);
        let factor = Factor::of(&regular, 9).unwrap();
        assert_eq!(factor.ridge, 0.0);
        assert_eq!(factor.whitener().unwrap(), [0.5, -0.25, 0.5]);
        assert!((factor.half_log_det() - 4f64.ln()).abs() < 1e-15);
        let dead = DMatrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, 0.0]);
        assert_eq!(Factor::of(&dead, 9).unwrap().ridge, 2.0 * 1e-10);
        assert_eq!(Factor::of(&dead, 2).unwrap().ridge, 2.0 * 1e-4);
        // A pivot that survives only as rounding is singular, too.
        let twins = DMatrix::from_row_slice(2, 2, &[1.0, 1.0, 1.0, 1.0 + 1e-13]);
        assert!(Factor::of(&twins, 9).unwrap().ridge > 0.0);
    }

    #[test]
    fn hopeless_covariance_is_an_error() {
        for fill in [0.0, f64::NAN] {
            let error = Factor::of(&DMatrix::from_element(2, 2, fill), 9).err().unwrap();
            assert_eq!(error.kind(), FitErrorKind::Singular);
        }
    }
}
