//! One refined head: its prior, then its residual, saved after every epoch.

use anyhow::{Context as _, Result};
use oddsight::backbone::FinalLayer;
use oddsight::energy::HeadId;
use oddsight::energy::float::{GmmScore, Head, Heat, LogitEnergy, Residual};
use sha2::{Digest as _, Sha256};

use super::{EachEvent, HeadOptions, mixture};
use crate::autodiff::Mixture;
use crate::checkpoint::Origin;
use crate::features::{FeatureFile, Tap, TapRows};
use crate::heat::{Constants, Data, Event, Prior, PriorScore, Seed, train};
use crate::recipe::REFINED;
use oddsight::fit::GmmOptions;

/// Fits the prior and trains the residual of `id`. A run that goes on from a checkpoint first tells its
/// state.
pub(super) fn fit(
    id: HeadId,
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
    each: EachEvent,
) -> Result<Head> {
    let heat = options.heat.as_ref().context("refined heads need their constants")?;
    let index = REFINED.iter().position(|refined| *refined == id).context("a refined head")?;
    let constants = &heat.constants[index];
    let tap = if id == HeadId::HeatGmmStd { Tap::Std } else { Tap::Avg };
    let rows = TapRows { file, tap, keep };
    let gmm = match id {
        HeadId::HeatEl => None,
        _ => Some(mixture(&rows, mixture_options(constants), options)?),
    };
    let prior = match &gmm {
        Some(gmm) => {
            let mixture = Mixture::<f32>::new(gmm);
            warn_of_leaps(id, mixture.curvature().into(), constants);
            Prior::Mixture(mixture)
        }
        None => logits(&heat.final_layer),
    };
    let layer = gmm.is_none().then_some((&heat.final_layer.weight, &heat.final_layer.bias));
    let origin = Origin::new(id, constants, heat.seed, data_sha256(&rows)?, &(&gmm, layer));
    let resume = match &heat.checkpoints {
        Some(checkpoints) if heat.resume => checkpoints.read(id, &origin)?,
        _ => None,
    };
    if let Some(state) = &resume {
        each(id, Event::Epoch(state))?;
    }
    let mut data = Data::new(file, tap, keep, constants.normalize)?;
    let seed = Seed(heat.seed);
    let (residual, _) = train(&mut data, &prior, constants, seed, resume, &mut |event| {
        if let (Event::Epoch(state), Some(checkpoints)) = (event, &heat.checkpoints) {
            checkpoints.write(id, &origin, state)?;
        }
        each(id, event)
    })?;
    Ok(match gmm {
        Some(gmm) if id == HeadId::HeatGmm => Head::HeatGmm(refined(residual, gmm, constants)),
        Some(gmm) => Head::HeatGmmStd(refined(residual, gmm, constants)),
        None => Head::HeatEl(refined(residual, LogitEnergy, constants)),
    })
}

fn logits(layer: &FinalLayer) -> Prior<f32> {
    Prior::Logits { weights: layer.weight.clone(), biases: layer.bias.clone() }
}

fn refined<P>(residual: Residual, prior: P, constants: &Constants) -> Heat<P> {
    // The device's score of the nearest component is twice its energy.
    let double = match constants.prior {
        PriorScore::Mixture => 1.0,
        PriorScore::Mahalanobis => 2.0,
    };
    Heat {
        normalize: constants.normalize,
        residual,
        temperature: constants.temperature,
        prior,
        prior_temperature: constants.prior_temperature * double,
    }
}

fn mixture_options(constants: &Constants) -> GmmOptions {
    GmmOptions {
        normalize: constants.normalize,
        score: match constants.prior {
            PriorScore::Mixture => GmmScore::Mixture,
            PriorScore::Mahalanobis => GmmScore::MinMahalanobis,
        },
    }
}

/// Steps of a chain stay small where `λ_0 ‖Σ⁻¹‖ / T_prior < 2`; beyond that it leaps from side to side, held
/// by the projection alone.
fn warn_of_leaps(id: HeadId, curvature: f64, constants: &Constants) {
    let Constants { step_size, prior_temperature, steps, .. } = *constants;
    let most = 2.0 * prior_temperature / curvature;
    if steps > 0 && step_size > most {
        log::warn!(
            "head {id}: step-size {step_size:e} is too large for the narrowest direction of its \
             mixture, chains leap across it: give one below {most:.0e}, a larger prior-temperature, or \
             more pictures"
        );
    }
}

/// Names the rows that are trained on, in their order, with their labels.
fn data_sha256(rows: &TapRows) -> Result<[u8; 32]> {
    use oddsight::fit::Rows as _;
    let mut digest = Sha256::new();
    rows.visit(&mut |row, label| {
        row.iter().for_each(|x| digest.update(x.to_le_bytes()));
        digest.update(label.map_or(u64::MAX, u64::from).to_le_bytes());
        Ok(())
    })?;
    Ok(digest.finalize().into())
}
