//! One refined head: its prior, then its residual, saved after every epoch.

use anyhow::{Context as _, Error, Result, anyhow};
use oddsight::backbone::FinalLayer;
use oddsight::energy::HeadId;
use oddsight::energy::float::{Gmm, GmmScore, Head, Heat, LogitEnergy, Residual};
use sha2::{Digest as _, Sha256};

use super::{EachEvent, HeadOptions, HeatOptions, mixture};
use crate::autodiff::Mixture;
use crate::checkpoint::Origin;
use crate::features::{FeatureFile, Tap, TapRows};
use crate::heat::{Constants, Data, Diverged, Event, Prior, PriorScore, Seed, State, train};
use crate::recipe::REFINED;
use oddsight::fit::GmmOptions;

/// A refined head whose training can begin: everything that can be refused without it was looked at.
pub(super) struct Prepared<'a> {
    id: HeadId,
    heat: &'a HeatOptions,
    constants: &'a Constants,
    tap: Tap,
    gmm: Option<Gmm>,
    prior: Prior<f32>,
    origin: Origin,
    resume: Option<State>,
}

/// Fits the prior of `id` and reads its checkpoint, if it is to go on from one.
pub(super) fn prepare<'a>(
    id: HeadId,
    file: &FeatureFile,
    keep: &[bool],
    options: &'a HeadOptions,
) -> Result<Prepared<'a>> {
    let heat = options.heat.as_ref().context("refined heads need their constants")?;
    let index = REFINED.iter().position(|refined| *refined == id).context("a refined head")?;
    let constants = &heat.constants[index];
    let tap = if id == HeadId::HeatGmmStd { Tap::Std } else { Tap::Avg };
    let rows = TapRows { file, tap, keep };
    if constants.batch_classes && file.labels().is_none() {
        log::warn!(
            "head {id}: batch-classes has no effect, the pictures lie in no class folders; components are \
             drawn as often as training has them"
        );
    }
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
    Ok(Prepared { id, heat, constants, tap, gmm, prior, origin, resume })
}

impl Prepared<'_> {
    /// Which head it is.
    pub(super) fn id(&self) -> HeadId {
        self.id
    }

    /// Trains the residual. A run that goes on from a checkpoint first tells its state.
    pub(super) fn train(self, file: &FeatureFile, keep: &[bool], each: EachEvent) -> Result<Head> {
        let Prepared { id, heat, constants, tap, gmm, prior, origin, resume } = self;
        if let Some(state) = &resume {
            each(id, Event::Epoch(state))?;
        }
        let mut data = Data::new(file, tap, keep, constants.normalize)?;
        let trained = train(&mut data, &prior, constants, Seed(heat.seed), resume, &mut |event| {
            if let (Event::Epoch(state), Some(checkpoints)) = (event, &heat.checkpoints) {
                checkpoints.write(id, &origin, state)?;
            }
            each(id, event)
        });
        let (residual, _) = trained.map_err(|why| with_leftover(why, heat, id))?;
        Ok(match gmm {
            Some(gmm) if id == HeadId::HeatGmm => Head::HeatGmm(refined(residual, gmm, constants)),
            Some(gmm) => Head::HeatGmmStd(refined(residual, gmm, constants)),
            None => Head::HeatEl(refined(residual, LogitEnergy, constants)),
        })
    }
}

/// The checkpoint of a run that diverged has constants that no other run should go on with.
fn with_leftover(why: Error, heat: &HeatOptions, id: HeadId) -> Error {
    let path = heat.checkpoints.as_ref().map(|checkpoints| checkpoints.path(id));
    match path.filter(|path| why.is::<Diverged>() && path.exists()) {
        Some(path) => anyhow!(
            "{why}; remove {}, which holds the earlier epochs, and give --resume to keep heads that are \
             finished",
            path.display()
        ),
        None => why,
    }
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
