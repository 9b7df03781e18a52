//! The coreset of the nearest-neighbour head.

use crate::energy::float::Knn;

use super::table::reservoir;
use super::{FitError, FitErrorKind, Projected, Rows};

/// How the nearest-neighbour head is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct KnnOptions {
    /// Largest number of rows that the device stores and scans.
    pub coreset: usize,
    /// Which neighbour would count if all rows were stored; see [`fit_knn`].
    pub k: usize,
    /// L2-normalise rows first.
    pub normalize: bool,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for KnnOptions {
    /// k = 50 (Sun et al. 2022 on CIFAR-10) over normalised rows. 16384 rows give the AUROC of a full
    /// bank of 20,000 within 0.1 point; a small device wants some 3000, which cost up to 0.7
    /// (docs/evaluation.md).
    fn default() -> KnnOptions {
        KnnOptions { coreset: 16_384, k: 50, normalize: true, seed: 0 }
    }
}

/// Keeps a uniform sample of m = `coreset` of the n rows, and neighbour `max(1, round(k·m/n))`.
///
/// The sample has m/n of the density of all rows, so the scaled neighbour lies about as far away as
/// neighbour `k` among all rows does: energies and rankings stay those of the full bank. (A greedy
/// k-centre cover flattens the density: on CIFAR-10 features it loses near outliers and gains far
/// ones.) With at most m rows, the head is exact.
///
/// Training rows that were kept are their own neighbour at distance 0.
pub fn fit_knn(rows: &dyn Rows, options: &KnnOptions) -> Result<Knn, FitError> {
    let invalid = |what: String| FitError::new(FitErrorKind::Option, what);
    if options.coreset == 0 || options.k == 0 {
        return Err(invalid("the knn head needs a coreset and a k of at least 1".to_string()));
    }
    let projected = Projected::new(rows, options.normalize, &[])?;
    let (sample, total) = reservoir(&projected, options.coreset, options.seed)?;
    if sample.is_empty() {
        let message = "there are no rows to fit: add pictures".to_string();
        return Err(FitError::new(FitErrorKind::TooFew, message));
    }
    let (k, kept) = (options.k as u128, sample.len() as u128);
    let scaled = ((k * kept * 2 + u128::from(total)) / (2 * u128::from(total))).max(1);
    if scaled > kept {
        log::warn!("knn: k is {k} and there are only {kept} rows: using the farthest row");
    }
    let too_large = || invalid("the coreset is too large: ask for fewer rows".to_string());
    Ok(Knn {
        normalize: options.normalize,
        k: u32::try_from(scaled.min(kept)).map_err(|_| too_large())?,
        width: u32::try_from(sample.width()).map_err(|_| too_large())?,
        rows: sample.into_values().into_iter().map(|x| x as f32).collect(),
    })
}
