//! A prior corrected by a residual, in integers.

use serde::{Deserialize, Serialize};

use super::fixed::{BROKEN, Scale, saturate};
use super::unit::{self, UNIT_BITS};
use super::{EnergyError, EnergyErrorKind, Gmm, HeadId, LogitEnergy, Residual, Scratch, float};
use crate::backbone::FEATURE_BITS;
use crate::kernel::Kernel;

/// A refined head, `E(z) = f(z)/T + E_prior(z)/T_prior`; see [`float::Heat`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat<P> {
    /// Whether the residual sees L2-normalised rows.
    pub(super) normalize: bool,
    pub(super) residual: Residual,
    /// 1 / T
    inverse_temperature: Scale,
    pub(super) prior: P,
    /// 1 / T_prior
    inverse_prior_temperature: Scale,
}

impl<P> Heat<P> {
    /// D, the length of a feature row.
    pub fn width(&self) -> usize {
        self.residual.width()
    }

    /// Whether rows are L2-normalised first.
    pub fn normalises(&self) -> bool {
        self.normalize
    }

    /// f
    pub fn residual(&self) -> &Residual {
        &self.residual
    }

    /// T
    pub fn temperature(&self) -> f64 {
        1.0 / self.inverse_temperature.factor()
    }

    /// What f corrects.
    pub fn prior(&self) -> &P {
        &self.prior
    }

    /// T_prior
    pub fn prior_temperature(&self) -> f64 {
        1.0 / self.inverse_prior_temperature.factor()
    }

    pub(super) fn pack(&mut self, kernel: Kernel) {
        self.residual.pack(kernel);
    }

    /// Energy of one row of D features with this energy of the prior, signed Q31.32. `normalised` says that
    /// the prior has left the row in `scratch`, normalised.
    pub(super) fn energy_q32(
        &self,
        row: &[i32],
        (prior_q32, normalised): (i64, bool),
        scratch: &mut Scratch,
    ) -> i64 {
        if prior_q32 == BROKEN {
            return BROKEN;
        }
        if self.normalize && !normalised {
            unit::normalise(row, &mut scratch.row);
        }
        let entries = if self.normalize { &scratch.row[..] } else { row };
        let (entry_bits, _) = entries_of(self.normalize);
        let residual_q32 = self.residual.evaluate_q32(entries, entry_bits, &mut scratch.layers);
        let residual = self.inverse_temperature.apply(residual_q32.into());
        let prior = self.inverse_prior_temperature.apply(prior_q32.into());
        saturate(i128::from(residual) + i128::from(prior))
    }

    fn fix<Q>(heat: &float::Heat<Q>, prior: P, head: HeadId) -> Result<Heat<P>, EnergyError> {
        heat.check(head, heat.residual.width())?;
        Ok(Heat {
            normalize: heat.normalize,
            residual: Residual::fix(&heat.residual, entries_of(heat.normalize), head)?,
            inverse_temperature: Scale::of(1.0 / heat.temperature),
            prior,
            inverse_prior_temperature: Scale::of(1.0 / heat.prior_temperature),
        })
    }

    /// Refuses contents that do not belong together; the prior has a check of its own.
    pub(super) fn check(&self, head: HeadId, width: usize) -> Result<(), EnergyError> {
        let (entry_bits, _) = entries_of(self.normalize);
        self.residual.check(entry_bits, head, width)?;
        if !self.inverse_temperature.is_valid() || !self.inverse_prior_temperature.is_valid() {
            let message = format!("head {head}: a temperature is out of range: fit it again");
            return Err(EnergyError::new(EnergyErrorKind::Value, message));
        }
        Ok(())
    }
}

/// Fractional bits of the entries of a row, and the largest one.
fn entries_of(normalize: bool) -> (u32, f64) {
    match normalize {
        true => (UNIT_BITS, 1.0),
        false => (FEATURE_BITS, f64::from(1 << (31 - FEATURE_BITS))),
    }
}

impl Heat<Gmm> {
    /// The integer form of a refined mixture; errors as for [`float::Head::fix`].
    pub(super) fn fix_gmm(
        heat: &float::Heat<float::Gmm>,
        head: HeadId,
    ) -> Result<Self, EnergyError> {
        float::same_rows(heat.normalize, heat.prior.normalize, head)?;
        let gmm = Gmm::fix(&heat.prior, head)?;
        Heat::fix(heat, gmm, head)
    }
}

impl Heat<LogitEnergy> {
    /// The integer form of a refined energy of the logits; errors as for [`float::Head::fix`].
    pub(super) fn fix_el(
        heat: &float::Heat<LogitEnergy>,
        head: HeadId,
    ) -> Result<Self, EnergyError> {
        Heat::fix(heat, heat.prior, head)
    }
}
