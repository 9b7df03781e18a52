//! Principal axes of rows.

use nalgebra::{DMatrix, SymmetricEigen};

use super::rows::{mean, moment, visit};
use super::{dot, minus, norm};
use oddsight::fit::{FitError, FitErrorKind, Rows};

/// Sweeps of the eigenvalue algorithm, per row of the matrix; it takes two or three as a rule.
const MOST_SWEEPS: usize = 64;

/// Eigenvectors of a symmetric matrix, one per row, those of the largest eigenvalues first.
pub(super) fn axes(matrix: DMatrix<f64>) -> Result<(Vec<f64>, Vec<Vec<f64>>), FitError> {
    let width = matrix.nrows();
    let refuse = |what: &str| {
        let message = format!("the second moments of {width} features {what}: extract them again");
        Err(FitError::new(FitErrorKind::NonFinite, message))
    };
    if !matrix.iter().all(|x| x.is_finite()) {
        return refuse("are not finite");
    }
    let Some(found) = SymmetricEigen::try_new(matrix, f64::EPSILON, MOST_SWEEPS * width) else {
        return refuse("have no eigenvectors that can be found");
    };
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| found.eigenvalues[b].total_cmp(&found.eigenvalues[a]));
    let values = order.iter().map(|&i| found.eigenvalues[i].max(0.0)).collect();
    let vectors = order.iter().map(|&i| found.eigenvectors.column(i).iter().copied().collect());
    Ok((values, vectors.collect()))
}

/// Principal components of rows; the energy is a row's distance from the subspace that they span (the
/// residual of Jackson and Mudholkar 1979).
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    components: Vec<Vec<f64>>,
    variances: Vec<f64>,
}

impl Pca {
    /// Half of the width, at most 1,000: what ViM takes of ResNets.
    pub fn usual_components(width: usize) -> usize {
        (width / 2).clamp(1, 1000)
    }

    /// The first components of the covariance, divided by n − 1. The row that reaches farthest along a
    /// component lies on its positive side, as in scikit-learn.
    ///
    /// Errors: no components, or as many as there are features; fewer than two rows.
    pub fn fit(rows: &dyn Rows, components: usize) -> Result<Pca, FitError> {
        check_components(components, rows.width())?;
        let mean = mean(rows)?;
        let (moment, count) = moment(rows, &mean)?;
        if count < 2 {
            let message = "there is one row, principal components need two: add pictures";
            return Err(FitError::new(FitErrorKind::TooFew, message.into()));
        }
        let (mut variances, mut vectors) = axes(moment * (count as f64 / (count - 1) as f64))?;
        variances.truncate(components);
        vectors.truncate(components);
        let mut pca = Pca { mean, components: vectors, variances };
        let mut farthest = vec![0.0f64; components];
        visit(rows, &mut |row| {
            for (most, x) in farthest.iter_mut().zip(pca.transform(row, false)) {
                if x.abs() > most.abs() {
                    *most = x;
                }
            }
        })?;
        for (component, most) in pca.components.iter_mut().zip(farthest) {
            if most < 0.0 {
                component.iter_mut().for_each(|x| *x = -*x);
            }
        }
        Ok(pca)
    }

    /// Variance along each component.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// A row in terms of the components, each divided by its deviation if `whiten` is set.
    pub fn transform(&self, row: &[f64], whiten: bool) -> Vec<f64> {
        let centred = minus(row, &self.mean);
        let along = self.components.iter().map(|component| dot(component, &centred));
        match whiten {
            true => along.zip(&self.variances).map(|(x, variance)| x / variance.sqrt()).collect(),
            false => along.collect(),
        }
    }

    /// Distance of a row from the principal subspace.
    pub fn distance(&self, row: &[f64]) -> f64 {
        let mut rest = minus(row, &self.mean);
        // One component after the other, so that nothing large is left to cancel.
        for component in &self.components {
            let along = dot(component, &rest);
            rest.iter_mut().zip(component).for_each(|(x, c)| *x -= along * c);
        }
        norm(&rest)
    }
}

/// Refuses numbers of components that leave nothing beside them, or are none.
pub(super) fn check_components(components: usize, width: usize) -> Result<(), FitError> {
    if (1..width).contains(&components) {
        return Ok(());
    }
    let message = format!(
        "{components} principal components of {width} features leave no subspace beside them: ask \
         for 1 to {}",
        width.saturating_sub(1)
    );
    Err(FitError::new(FitErrorKind::Option, message))
}
