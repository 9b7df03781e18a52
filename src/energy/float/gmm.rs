//! A Gaussian mixture with one shared covariance, evaluated in whitened space.

use serde::{Deserialize, Serialize};

use super::row::{argmin, dot, log_sum_exp, project, squared_distance};
use super::{EnergyError, EnergyErrorKind, HeadId, Scratch};

/// log 2π
pub(in crate::energy) const LOG_2_PI: f64 = 1.837_877_066_409_345_3;

/// Tolerance of the two redundant statements in a stored mixture (weights add up to one, log
/// determinant fits the whitener); far above rounding, far below any use of them.
const REDUNDANCY_TOLERANCE: f64 = 1e-6;

/// Which number a mixture gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GmmScore {
    /// Negative log-likelihood `−log Σ_c π_c N(z; μ_c, Σ)`: HEAT's prior.
    Mixture,
    /// `min_c (z−μ_c)ᵀ Σ⁻¹ (z−μ_c)`: the stand-alone score of Lee et al. 2018 and of SSD (Sehwag et
    /// al. 2021); no ½, no determinant, no weights.
    MinMahalanobis,
}

/// A Gaussian mixture over feature rows: K components, one covariance `Σ = L Lᵀ` for all.
///
/// With `w = L⁻¹ z` and the stored `L⁻¹ μ_c`, the squared Mahalanobis distance is a Euclidean one,
/// `m_c = ‖w − L⁻¹μ_c‖²`: one triangular product per frame, whatever K is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gmm {
    /// Whether rows are L2-normalised first.
    pub normalize: bool,
    /// Which number [`Gmm::energy`] gives.
    pub score: GmmScore,
    /// D, the length of a feature row.
    pub width: u32,
    /// Lower triangle of `L⁻¹`, row by row: entry (i, j ≤ i) at `i(i+1)/2 + j`; D(D+1)/2 numbers.
    pub whitener: Vec<f64>,
    /// `L⁻¹ μ_c`, K × D, row by row.
    pub whitened_means: Vec<f64>,
    /// `log π_c`, K numbers.
    pub log_weights: Vec<f64>,
    /// `½ log det Σ = Σ_i log L_ii`.
    pub half_log_det: f64,
    /// What was added to the diagonal of the covariance to make it positive definite; 0 as a rule.
    pub ridge: f64,
}

impl Gmm {
    /// Energy of one feature row of D finite numbers; see [`GmmScore`]. `+∞` for another width.
    pub fn energy(&self, features: &[f64], scratch: &mut Scratch) -> f64 {
        let distances = self.distances(features, scratch);
        if distances.is_empty() {
            return f64::INFINITY;
        }
        match self.score {
            GmmScore::MinMahalanobis => distances.iter().copied().fold(f64::INFINITY, f64::min),
            GmmScore::Mixture => {
                // −log Σ_c π_c N_c, with log N_c = −(D log 2π + m_c)/2 − half_log_det; the terms
                // that do not depend on c stay outside of the sum.
                let weighted = distances.iter().zip(&self.log_weights).map(|(m, w)| w - 0.5 * m);
                0.5 * LOG_2_PI * f64::from(self.width) + self.half_log_det - log_sum_exp(weighted)
            }
        }
    }

    /// The component with the smallest Mahalanobis distance; `None` for a row that is not finite or
    /// has another width.
    pub fn nearest(&self, features: &[f64], scratch: &mut Scratch) -> Option<u32> {
        let distances = self.distances(features, scratch);
        if distances.iter().all(|m| m.is_finite()) { argmin(distances) } else { None }
    }

    /// Squared Mahalanobis distance `m_c` of one feature row to each component; empty for a row of
    /// another width.
    pub fn distances<'s>(&self, features: &[f64], scratch: &'s mut Scratch) -> &'s [f64] {
        scratch.distances.clear();
        if features.len() == self.width as usize {
            project(features, self.normalize, &mut scratch.row);
            self.whiten(&scratch.row, &mut scratch.whitened);
            let means = self.whitened_means.chunks_exact(features.len().max(1));
            scratch.distances.extend(means.map(|mean| squared_distance(&scratch.whitened, mean)));
        }
        &scratch.distances
    }

    /// `out = L⁻¹ row` for a projected row of D numbers.
    pub fn whiten(&self, row: &[f64], out: &mut Vec<f64>) {
        out.clear();
        let mut rest = self.whitener.as_slice();
        for i in 1..=row.len() {
            let (weights, next) = rest.split_at(i);
            out.push(dot(&row[..i], weights));
            rest = next;
        }
    }

    pub(in crate::energy) fn check(&self, id: HeadId, width: usize) -> Result<(), EnergyError> {
        let wrong = |kind, what: String| {
            Err(EnergyError::new(kind, format!("head {id}: {what}: fit the heads again")))
        };
        let (d, k) = (self.width as usize, self.log_weights.len());
        if d == 0 || d != width {
            let what = format!("fitted for {d} features, the backbone has {width}");
            return wrong(EnergyErrorKind::Shape, what);
        }
        if k == 0 || u32::try_from(k).is_err() {
            return wrong(EnergyErrorKind::Shape, format!("{k} components"));
        }
        let triangle = d.checked_add(1).and_then(|e| e.checked_mul(d)).map(|twice| twice / 2);
        let fields = [
            ("whitener", self.whitener.len(), triangle),
            ("whitened_means", self.whitened_means.len(), k.checked_mul(d)),
        ];
        for (field, length, expected) in fields {
            if Some(length) != expected {
                let what = format!("{field} has {length} numbers, not those of {d} features");
                return wrong(EnergyErrorKind::Shape, what);
            }
        }
        let scalars = [self.half_log_det, self.ridge];
        let lists = [&self.whitener[..], &self.whitened_means, &self.log_weights, &scalars];
        if !lists.into_iter().flatten().all(|x| x.is_finite()) || self.ridge < 0.0 {
            return wrong(EnergyErrorKind::Value, "a number is not finite or negative".to_string());
        }
        let diagonal = (0..d).map(|i| self.whitener[i * (i + 3) / 2]);
        if diagonal.clone().any(|x| x <= 0.0) {
            let what = "whitener has a diagonal entry that is not positive".to_string();
            return wrong(EnergyErrorKind::Value, what);
        }
        let half_log_det = -diagonal.fold(0.0, |sum, x| sum + libm::log(x));
        let tolerance = REDUNDANCY_TOLERANCE * half_log_det.abs().max(1.0);
        if (half_log_det - self.half_log_det).abs() > tolerance {
            let what =
                format!("half_log_det is {}, the whitener's is {half_log_det}", self.half_log_det);
            return wrong(EnergyErrorKind::Value, what);
        }
        if log_sum_exp(self.log_weights.iter().copied()).abs() > REDUNDANCY_TOLERANCE {
            return wrong(EnergyErrorKind::Value, "weights do not add up to one".to_string());
        }
        Ok(())
    }
}
