//! Learning in place: what a running camera shows becomes what is normal.
//!
//! A [`Learner`] sees the features of frames as they are scored. Memory is bounded by two uniform samples of what it saw: one
//! that heads are fitted to, one that they are calibrated with. Frames of a video resemble their neighbours, so the two come
//! from different stretches of time: of every three blocks the first two are fitted to, the third calibrates.
//!
//! The new heads have the form of the old model's. Mixtures and nearest neighbours are fitted anew; heads on logits have
//! nothing to fit; a refined head becomes its prior, for its residual was trained against another one. Then energies are
//! standardised by the new rows, and every weight of the composition is 1.

mod error;
mod sample;

use std::collections::BTreeMap;
use std::fmt;

use crate::backbone::{Features, from_feature};
use crate::clock::{Stamp, utc};
use crate::energy::float::{Composition, Head as FloatHead, Heads as FloatHeads, Term};
use crate::energy::{GmmScore, Head, HeadId, Heads, Scores, Scratch, from_q32};
use crate::fit::{
    Components, EachRow, FitError, KnnOptions, MixtureOptions, Moments, Rows, fit_knn, fit_mixture,
};
use crate::model::{HeadsBlob, Model, SelfTest};
use crate::verdict::{Alpha, Calibration};

pub use error::{LearnError, LearnErrorKind};
use sample::Sample;

/// Length of a block of time that goes to one of the two samples; a short watch has shorter ones.
pub const BLOCK_MS: u64 = 10_000;

/// A watch has so many blocks at least.
const BLOCKS: u64 = 60;

/// Most frames that heads are fitted to: 17 MB at 512 features.
pub const FIT_FRAMES: usize = 4096;

/// Most frames that calibrate: 8.5 MB at 512 features.
pub const CALIBRATION_FRAMES: usize = 2048;

/// More components brought nothing on real features (docs/evaluation.md) …
const COMPONENTS: usize = 4;

/// … and one wants this many frames at least.
const FRAMES_A_COMPONENT: usize = 50;

/// A covariance of as many frames as features, or fewer, is singular, and one of few more calls every new frame unusual: a
/// mixture wants so many frames for each feature.
const FRAMES_A_FEATURE: usize = 2;

/// Collects the features of a running camera.
pub struct Learner {
    base: Model,
    /// What the new model will be packed with.
    alpha: f64,
    /// Calibration frames that it needs at least.
    wanted: u64,
    started_ms: Option<u64>,
    block_ms: u64,
    fit: Sample,
    calibration: Sample,
}

impl fmt::Debug for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Learner").field(&self.progress()).finish()
    }
}

/// How far a [`Learner`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Frames seen for fitting.
    pub fit_frames: u64,
    /// Frames seen for calibration.
    pub calibration_frames: u64,
    /// Calibration frames that alpha wants at least.
    pub wanted: u64,
}

/// What was learnt.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// The new heads, calibrated and with a self-test.
    pub blob: HeadsBlob,
    /// Frames seen for fitting, and for calibration.
    pub frames: [u64; 2],
    /// Length of the blocks of time that were fitted to and calibrated with.
    pub block_ms: u64,
    /// Refined heads that became their priors.
    pub unrefined: Vec<HeadId>,
}

impl Learnt {
    /// What a model directory says of how it was made.
    pub fn card(&self, at: Stamp) -> serde_json::Value {
        serde_json::json!({
            "made_by": self.blob.made_by,
            "date": utc(at.utc_ms),
            "clock_synced": at.clock_synced,
            "learnt_in_place": {
                "frames_fitted": self.frames[0],
                "frames_calibrated": self.frames[1],
                "block_ms": self.block_ms,
            },
            "heads": self.blob.heads.heads.iter().map(|head| head.id().name()).collect::<Vec<_>>(),
            "alpha": self.blob.alpha,
        })
    }
}

impl Learner {
    /// Learns what `base` should call normal; `seed` decides which frames of a long watch are kept.
    pub fn new(base: Model, seed: u64) -> Learner {
        Learner {
            alpha: base.alpha(),
            wanted: wanted(base.alpha()),
            base,
            started_ms: None,
            block_ms: BLOCK_MS,
            fit: Sample::new(FIT_FRAMES, seed),
            calibration: Sample::new(CALIBRATION_FRAMES, seed.wrapping_add(1)),
        }
    }

    /// Learns in so many milliseconds: in less than ten minutes blocks are shorter than [`BLOCK_MS`].
    pub fn within(self, length_ms: u64) -> Learner {
        Learner { block_ms: (length_ms / BLOCKS).clamp(1, BLOCK_MS), ..self }
    }

    /// Learns for this alpha in place of the model's own, and for regions of so many tiles, each of which has its part of
    /// it.
    ///
    /// # Errors
    ///
    /// An alpha that no calibration of [`CALIBRATION_FRAMES`] can honour.
    pub fn for_alpha(mut self, alpha: Alpha, tiles: u32) -> Result<Learner, LearnError> {
        self.alpha = alpha.get();
        self.wanted = wanted(alpha.get() / f64::from(tiles.max(1)));
        if self.wanted > CALIBRATION_FRAMES as u64 {
            let parts = if tiles > 1 { format!(" in {tiles} tiles") } else { String::new() };
            return Err(LearnError::new(
                LearnErrorKind::Calibration,
                format!(
                    "alpha {alpha}{parts} wants {} frames to calibrate with, and {CALIBRATION_FRAMES} are kept: set \
                     model.alpha to {:.4} or more",
                    self.wanted,
                    f64::from(tiles.max(1)) / (CALIBRATION_FRAMES + 1) as f64 + 5e-5,
                    alpha = self.alpha,
                ),
            ));
        }
        Ok(self)
    }

    /// Takes the features of one frame, or of one region of it, at a monotonic time.
    pub fn add(&mut self, features: &Features, mono_ms: u64) {
        let started = *self.started_ms.get_or_insert(mono_ms);
        let block = mono_ms.saturating_sub(started) / self.block_ms;
        if block % 3 == 2 { self.calibration.add(features) } else { self.fit.add(features) }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            fit_frames: self.fit.seen(),
            calibration_frames: self.calibration.seen(),
            wanted: self.wanted,
        }
    }

    /// Frames that the heads want to be fitted to at least.
    fn least_to_fit(&self) -> u64 {
        let is_mixture = |head: &Head| {
            matches!(head, Head::Gmm(_) | Head::GmmStd(_) | Head::HeatGmm(_) | Head::HeatGmmStd(_))
        };
        let least = match self.base.blob().heads.heads.iter().any(is_mixture) {
            true => FRAMES_A_FEATURE * self.base.backbone().width(),
            false => 0,
        };
        least.clamp(FRAMES_A_COMPONENT, FIT_FRAMES) as u64
    }

    /// Fits, calibrates and records a self-test.
    ///
    /// # Errors
    ///
    /// Too few frames for a fit or for the model's alpha, all frames the same, a mixture that cannot be fitted.
    pub fn finish(self) -> Result<Learnt, LearnError> {
        let Progress { fit_frames, calibration_frames, wanted } = self.progress();
        let least = self.least_to_fit();
        if calibration_frames < wanted || fit_frames < least {
            return Err(LearnError::new(
                LearnErrorKind::TooFew,
                format!(
                    "{fit_frames} frames to fit to and {calibration_frames} to calibrate with, but {least} (for {} \
                     features) and {wanted} (for an alpha of {}) are wanted: learn for more minutes, score more frames \
                     a second, or take a larger alpha",
                    self.base.backbone().width(),
                    self.alpha
                ),
            ));
        }
        let (heads, unrefined) = refit(self.base.blob(), self.fit.rows())?;
        let calibration_q16 = energies(&heads, self.calibration.rows(), |scores| scores.energy_q16);
        let malformed = |e: crate::verdict::VerdictError| {
            LearnError::new(LearnErrorKind::Calibration, e.to_string())
        };
        let calibration = Calibration::new(calibration_q16).map_err(malformed)?;
        let blob = HeadsBlob {
            made_by: concat!("oddsight ", env!("CARGO_PKG_VERSION"), ", learnt in place").into(),
            heads,
            calibration_q16: calibration.energies_q16().to_vec(),
            alpha: self.alpha,
            class_names: Vec::new(),
            self_test: SelfTest::default(),
            ..self.base.blob().clone()
        };
        let blob = self_tested(&self.base, blob)?;
        let frames = [fit_frames, calibration_frames];
        Ok(Learnt { blob, frames, block_ms: self.block_ms, unrefined })
    }
}

/// The smallest calibration that honours this alpha.
fn wanted(alpha: f64) -> u64 {
    let least = (1.0 / alpha).ceil() as u64 - 1;
    // Where the division rounds down, one more is needed.
    least + u64::from(alpha < 1.0 / (least + 1) as f64)
}

fn self_tested(base: &Model, blob: HeadsBlob) -> Result<HeadsBlob, LearnError> {
    let refuse =
        |e: crate::model::ModelError| LearnError::new(LearnErrorKind::Model, e.to_string());
    let model = base.with_heads(blob).map_err(refuse)?;
    let mut scorer = model.scorer().map_err(refuse)?;
    let self_test = SelfTest::record(&mut scorer).map_err(refuse)?;
    Ok(HeadsBlob { self_test, ..model.blob().clone() })
}

/// Heads of the same form, fitted to rows, and the refined ones that became their priors.
fn refit(base: &HeadsBlob, rows: &[Features]) -> Result<(Heads, Vec<HeadId>), LearnError> {
    let mut fitted: Vec<FloatHead> = Vec::new();
    let mut unrefined = Vec::new();
    // Place of each of the base's heads among the fitted ones; a prior may be there already.
    let mut places: BTreeMap<usize, u32> = BTreeMap::new();
    for (index, head) in base.heads.heads.iter().enumerate() {
        let new = refit_head(head, rows)?;
        if matches!(head.id(), HeadId::HeatGmm | HeadId::HeatGmmStd | HeadId::HeatEl) {
            unrefined.push(head.id());
        }
        let place = fitted.iter().position(|head| head.id() == new.id()).unwrap_or_else(|| {
            fitted.push(new);
            fitted.len() - 1
        });
        places.insert(index, place as u32);
    }
    let rule = base.heads.composition.rule();
    let composed =
        base.heads.composition.terms().iter().filter_map(|term| places.get(&term.head()));
    let mut composed: Vec<u32> = composed.copied().collect();
    composed.sort_unstable();
    composed.dedup();
    let mut heads =
        FloatHeads { heads: fitted, composition: Composition { rule, terms: Vec::new() } };
    let unit = heads.fix().map_err(LearnError::energy)?;
    let mut moments = vec![Moments::default(); unit.heads.len()];
    energies(&unit, rows, |scores| {
        for (moments, &energy_q32) in moments.iter_mut().zip(&scores.heads_q32) {
            moments.push(from_q32(energy_q32));
        }
    });
    let terms = composed.into_iter().map(|head| moments[head as usize].term(head));
    heads.composition.terms = terms.collect::<Result<Vec<Term>, _>>().map_err(LearnError::fit)?;
    Ok((heads.fix().map_err(LearnError::energy)?, unrefined))
}

fn refit_head(head: &Head, rows: &[Features]) -> Result<FloatHead, LearnError> {
    let mixture = |tap: Tap, normalize: bool, score: GmmScore| {
        let components = COMPONENTS.min(rows.len() / FRAMES_A_COMPONENT).max(1);
        let components = Components::Exactly(components);
        let options = MixtureOptions { normalize, score, components, seed: 0 };
        fit_mixture(&TapRows { rows, tap }, &options)
            .map(|mixture| mixture.gmm)
            .map_err(LearnError::fit)
    };
    let of = |gmm: &crate::energy::Gmm, tap| mixture(tap, gmm.normalises(), gmm.score());
    Ok(match head {
        Head::Msp => FloatHead::Msp,
        Head::Mls => FloatHead::Mls,
        Head::El | Head::HeatEl(_) => FloatHead::El,
        Head::Gmm(gmm) => FloatHead::Gmm(of(gmm, Tap::Avg)?),
        Head::GmmStd(gmm) => FloatHead::GmmStd(of(gmm, Tap::Std)?),
        Head::HeatGmm(heat) => FloatHead::Gmm(of(heat.prior(), Tap::Avg)?),
        Head::HeatGmmStd(heat) => FloatHead::GmmStd(of(heat.prior(), Tap::Std)?),
        Head::Knn(knn) => {
            let options = KnnOptions {
                coreset: knn.rows(),
                normalize: knn.normalises(),
                ..KnnOptions::default()
            };
            FloatHead::Knn(
                fit_knn(&TapRows { rows, tap: Tap::Avg }, &options).map_err(LearnError::fit)?,
            )
        }
    })
}

/// What `take` makes of the energies of each row.
fn energies<T>(heads: &Heads, rows: &[Features], mut take: impl FnMut(&Scores) -> T) -> Vec<T> {
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    rows.iter()
        .map(|features| {
            heads.score(features, &mut scratch, &mut scores);
            take(&scores)
        })
        .collect()
}

/// Which row of the features a head reads.
#[derive(Clone, Copy)]
enum Tap {
    Avg,
    Std,
}

struct TapRows<'a> {
    rows: &'a [Features],
    tap: Tap,
}

impl TapRows<'_> {
    fn row<'f>(&self, features: &'f Features) -> &'f [i32] {
        match self.tap {
            Tap::Avg => &features.avg,
            Tap::Std => &features.std,
        }
    }
}

impl Rows for TapRows<'_> {
    fn width(&self) -> usize {
        self.rows.first().map_or(0, |features| self.row(features).len())
    }

    fn visit(&self, each: EachRow) -> Result<(), FitError> {
        let mut row = Vec::with_capacity(self.width());
        for features in self.rows {
            row.clear();
            row.extend(self.row(features).iter().map(|&feature| from_feature(feature)));
            each(&row, None)?;
        }
        Ok(())
    }
}
