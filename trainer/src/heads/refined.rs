//! One refined head: its prior, then its residual, saved after every epoch.

use anyhow::{Context as _, Result, bail};
use oddsight::energy::HeadId;
use oddsight::energy::float::{Gmm, GmmScore, Head};
use sha2::{Digest as _, Sha256};

use super::{EachEvent, HeadOptions};
use crate::checkpoint::Origin;
use crate::features::{FeatureFile, Tap, TapRows};
use crate::fit::{GmmOptions, MixtureOptions, fit_gmm, fit_mixture};
use crate::heat::{Constants, PriorScore};
use crate::recipe::REFINED;

/// Fits the prior and trains the residual of `id`.
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
    let prior = match id {
        HeadId::HeatEl => None,
        _ => Some(mixture(&rows, options, constants)?),
    };
    let origin = Origin::new(id, constants, heat.seed, data_sha256(&rows)?, &prior);
    let resume = match &heat.checkpoints {
        Some(checkpoints) if heat.resume => checkpoints.read(id, &origin)?,
        _ => None,
    };
    let _ = (resume, each);
    bail!("the training core is not part of this build");
}

fn mixture(rows: &TapRows, options: &HeadOptions, constants: &Constants) -> Result<Gmm> {
    let how = GmmOptions {
        normalize: constants.normalize,
        score: match constants.prior {
            PriorScore::Mixture => GmmScore::Mixture,
            PriorScore::Mahalanobis => GmmScore::MinMahalanobis,
        },
    };
    match rows.file.labels() {
        Some(labels) => Ok(fit_gmm(rows, &labels.classes, &how)?),
        None => Ok(fit_mixture(
            rows,
            &MixtureOptions {
                normalize: how.normalize,
                score: how.score,
                ..options.mixture.clone()
            },
        )?
        .gmm),
    }
}

/// Names the rows that are trained on, in their order, with their labels.
fn data_sha256(rows: &TapRows) -> Result<[u8; 32]> {
    use crate::fit::Rows as _;
    let mut digest = Sha256::new();
    rows.visit(&mut |row, label| {
        row.iter().for_each(|x| digest.update(x.to_le_bytes()));
        digest.update(label.map_or(u64::MAX, u64::from).to_le_bytes());
        Ok(())
    })?;
    Ok(digest.finalize().into())
}
