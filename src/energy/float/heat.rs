//! A prior corrected by a residual.

use serde::{Deserialize, Serialize};

use super::row::project;
use super::{EnergyError, EnergyErrorKind, HeadId, Residual, Scratch};

/// A refined head of HEAT (Lafon et al., ICML 2023, equation 2):
/// `E(z) = f(z)/T + E_prior(z)/T_prior`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat<P> {
    /// Whether the residual sees L2-normalised rows; a mixture must say the same.
    pub normalize: bool,
    /// f
    pub residual: Residual,
    /// T, positive.
    pub temperature: f64,
    /// E_prior
    pub prior: P,
    /// T_prior, positive. HEAT's Mahalanobis prior is half of
    /// [`GmmScore::MinMahalanobis`](super::GmmScore::MinMahalanobis): twice the temperature says so.
    pub prior_temperature: f64,
}

/// The prior of `heat-el`: the energy of the logits ([`Head::El`](super::Head::El)), without
/// parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogitEnergy;

impl<P> Heat<P> {
    /// The energy of a row of D finite features whose prior energy is known; NaN for another width.
    pub fn energy(&self, row: &[f64], prior_energy: f64, scratch: &mut Scratch) -> f64 {
        project(row, self.normalize, &mut scratch.row);
        self.residual.evaluate(&scratch.row) / self.temperature
            + prior_energy / self.prior_temperature
    }

    /// Refuses a residual or a temperature without a meaning.
    pub(in crate::energy) fn check(&self, id: HeadId, width: usize) -> Result<(), EnergyError> {
        self.residual.check(id, width)?;
        for temperature in [self.temperature, self.prior_temperature] {
            if !temperature.is_finite() || temperature <= 0.0 {
                let message = format!("head {id}: a temperature is {temperature}: fit it again");
                return Err(EnergyError::new(EnergyErrorKind::Value, message));
            }
        }
        Ok(())
    }
}

/// Refuses a mixture and a residual of which only one normalises.
pub(in crate::energy) fn same_rows(
    residual: bool,
    prior: bool,
    id: HeadId,
) -> Result<(), EnergyError> {
    if residual == prior {
        return Ok(());
    }
    let message = format!(
        "head {id}: only one of prior and residual normalises its rows: fit the heads again"
    );
    Err(EnergyError::new(EnergyErrorKind::Value, message))
}
