//! The Gaussian mixture of labelled rows: one component per class.

use nalgebra::DMatrix;

use crate::energy::float::{Gmm, GmmScore};

use super::covariance::{Factor, Scatter};
use super::{FitError, FitErrorKind, Projected, Rows, same};

/// How a labelled mixture is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct GmmOptions {
    /// L2-normalise rows first.
    pub normalize: bool,
    /// Which number the head gives.
    pub score: GmmScore,
}

impl Default for GmmOptions {
    /// HEAT's prior: normalised rows, the mixture's negative log-likelihood.
    fn default() -> GmmOptions {
        GmmOptions { normalize: true, score: GmmScore::Mixture }
    }
}

/// Fits class-conditional means, class frequencies, and one covariance of the class-centred
/// residuals, divided by their number (Lee et al. 2018; HEAT's Gaussian prior).
///
/// Every row has a label below `classes.len()`. Two passes: means first, residuals about them after,
/// so that no large numbers cancel. A singular covariance gets a ridge, with a warning
/// ([`Gmm::ridge`]).
///
/// Errors: no class; a row without a label, of a wrong width or not finite; a class with fewer than
/// two rows or whose rows are all the same after normalisation.
pub fn fit_gmm(rows: &dyn Rows, classes: &[String], options: &GmmOptions) -> Result<Gmm, FitError> {
    fit(rows, classes, options, |covariance| covariance)
}

/// The same with the diagonal of the covariance: features count as uncorrelated.
pub fn fit_gmm_diagonal(
    rows: &dyn Rows,
    classes: &[String],
    options: &GmmOptions,
) -> Result<Gmm, FitError> {
    fit(rows, classes, options, |full| DMatrix::from_diagonal(&full.diagonal()))
}

fn fit(
    rows: &dyn Rows,
    classes: &[String],
    options: &GmmOptions,
    shape: fn(DMatrix<f64>) -> DMatrix<f64>,
) -> Result<Gmm, FitError> {
    let projected = Projected::new(rows, options.normalize, classes)?;
    let width = rows.width();
    let classes = Classes::of(&projected)?;
    let mut scatter = Scatter::new(width);
    projected.visit(&mut |index, row, label| {
        let class = class_of(index, label, &projected)?;
        scatter.push(row, classes.mean(class));
        Ok(())
    })?;
    let total: u64 = classes.counts.iter().sum();
    let factor = Factor::of(&shape(scatter.covariance()), total)?;
    factor.warn_of_ridge(factor.ridge);
    let weights: Vec<f64> = classes.counts.iter().map(|&n| n as f64 / total as f64).collect();
    assemble(&factor, factor.ridge, &classes.means, &weights, options)
}

/// The device's form of a mixture: `means` is K × D, row by row.
pub(super) fn assemble(
    factor: &Factor,
    ridge: f64,
    means: &[f64],
    weights: &[f64],
    options: &GmmOptions,
) -> Result<Gmm, FitError> {
    let width = means.len() / weights.len().max(1);
    let mut gmm = Gmm {
        normalize: options.normalize,
        score: options.score,
        width: u32::try_from(width).map_err(|_| {
            FitError::new(FitErrorKind::Option, format!("{width} features are too many"))
        })?,
        whitener: factor.whitener()?,
        whitened_means: Vec::with_capacity(means.len()),
        log_weights: weights.iter().map(|weight| weight.ln()).collect(),
        half_log_det: factor.half_log_det(),
        ridge,
    };
    let mut whitened = Vec::new();
    for mean in means.chunks_exact(width) {
        gmm.whiten(mean, &mut whitened);
        gmm.whitened_means.extend_from_slice(&whitened);
    }
    Ok(gmm)
}

/// What the first pass learns.
struct Classes {
    width: usize,
    counts: Vec<u64>,
    /// K × D, row by row.
    means: Vec<f64>,
}

impl Classes {
    fn of(rows: &Projected) -> Result<Classes, FitError> {
        let (width, k) = (rows.width(), rows.classes.len());
        let mut counts = vec![0u64; k];
        let mut means = vec![0.0; k * width];
        let mut first = vec![0.0; k * width];
        let mut varies = vec![false; k];
        rows.visit(&mut |index, row, label| {
            let class = class_of(index, label, rows)?;
            let range = class * width..(class + 1) * width;
            if counts[class] == 0 {
                first[range.clone()].copy_from_slice(row);
            }
            varies[class] |= !same(&first[range.clone()], row);
            counts[class] += 1;
            means[range].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            Ok(())
        })?;
        refuse_degenerate(rows.classes, &counts, &varies)?;
        for (mean, &count) in means.chunks_exact_mut(width).zip(&counts) {
            mean.iter_mut().for_each(|sum| *sum /= count as f64);
        }
        Ok(Classes { width, counts, means })
    }

    fn mean(&self, class: usize) -> &[f64] {
        &self.means[class * self.width..(class + 1) * self.width]
    }
}

fn class_of(index: u64, label: Option<u32>, rows: &Projected) -> Result<usize, FitError> {
    let k = rows.classes.len();
    match label {
        Some(label) if (label as usize) < k => Ok(label as usize),
        Some(label) => Err(FitError::new(
            FitErrorKind::Label,
            format!("row {index} has label {label}, there are {k} classes: list all class names"),
        )),
        None => Err(FitError::new(
            FitErrorKind::Label,
            format!("row {index} has no label: label every row, or fit clusters without labels"),
        )),
    }
}

fn refuse_degenerate(classes: &[String], counts: &[u64], varies: &[bool]) -> Result<(), FitError> {
    if counts.iter().sum::<u64>() == 0 {
        let message = "there are no rows to fit: add pictures".to_string();
        return Err(FitError::new(FitErrorKind::TooFew, message));
    }
    for (name, &count) in classes.iter().zip(counts) {
        if count < 2 {
            let message = format!(
                "class {name} has {count} pictures and needs at least 2: add some or remove the class"
            );
            return Err(FitError::new(FitErrorKind::TooFew, message));
        }
    }
    if let Some(class) = varies.iter().position(|varies| !varies) {
        let message = format!(
            "all {} pictures of class {} have the same features: are they copies of one picture? \
             Add others or remove the class",
            counts[class], classes[class]
        );
        return Err(FitError::new(FitErrorKind::Identical, message));
    }
    Ok(())
}
