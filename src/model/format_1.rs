//! Format 1 of `heads.postcard`: heads in `f64`, self-test features in `f32`.
//!
//! Its heads become integers on loading, by the same [`fix`](float::Heads::fix) as after fitting. Its
//! self-test energies are those of the `f64` heads, so the integer ones are held to the tolerance that
//! the format had for float backbones, and take their place.

use serde::{Deserialize, Serialize};

use super::self_test::{SelfTest, SelfTestFrame, float_tolerance_q16};
use super::{HeadsBlob, ModelErrorKind};
use crate::backbone::{Features, Normalise, Taps, to_feature};
use crate::energy::{self, Rule, Scores, Scratch, float};
use crate::image::Preprocess;

/// The content of a file of format 1.
#[derive(Serialize, Deserialize)]
pub(super) struct HeadsBlob1 {
    made_by: String,
    backbone_sha256: [u8; 32],
    preprocess: Preprocess,
    normalise: Normalise,
    taps: Taps,
    heads: Heads,
    calibration_q16: Vec<i64>,
    alpha: f64,
    class_names: Vec<String>,
    self_test: Vec<Frame>,
}

#[derive(Serialize, Deserialize)]
struct Heads {
    heads: Vec<Head>,
    rule: Rule,
    terms: Vec<Term>,
}

#[derive(Serialize, Deserialize)]
enum Head {
    Msp,
    Mls,
    El,
    Gmm(float::Gmm),
    GmmStd(float::Gmm),
    Knn(float::Knn),
}

#[derive(Serialize, Deserialize)]
struct Term {
    head: u32,
    mean: f64,
    std: f64,
}

impl Heads {
    /// Today's form, in real numbers.
    fn float(self) -> float::Heads {
        let head = |head| match head {
            Head::Msp => float::Head::Msp,
            Head::Mls => float::Head::Mls,
            Head::El => float::Head::El,
            Head::Gmm(gmm) => float::Head::Gmm(gmm),
            Head::GmmStd(gmm) => float::Head::GmmStd(gmm),
            Head::Knn(knn) => float::Head::Knn(knn),
        };
        let term = |Term { head, mean, std }| float::Term { head, mean, std, weight: 1.0 };
        let terms = self.terms.into_iter().map(term).collect();
        float::Heads {
            heads: self.heads.into_iter().map(head).collect(),
            composition: float::Composition { rule: self.rule, terms },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Frame {
    seed: u64,
    size: [u32; 2],
    avg: Vec<f32>,
    std: Vec<f32>,
    logits: Vec<f32>,
    energy_q16: i64,
    tolerance_q16: i64,
}

impl HeadsBlob1 {
    /// Today's form; the error is a kind and a reason.
    pub(super) fn into_blob(self) -> Result<HeadsBlob, (ModelErrorKind, String)> {
        let heads =
            self.heads.float().fix().map_err(|e| (ModelErrorKind::Malformed, e.to_string()))?;
        let fix = |frame| fix_frame(frame, &heads).map_err(|why| (ModelErrorKind::SelfTest, why));
        let frames = self.self_test.into_iter().map(fix).collect::<Result<_, _>>()?;
        Ok(HeadsBlob {
            made_by: self.made_by,
            backbone_sha256: self.backbone_sha256,
            preprocess: self.preprocess,
            normalise: self.normalise,
            taps: self.taps,
            heads,
            calibration_q16: self.calibration_q16,
            alpha: self.alpha,
            class_names: self.class_names,
            self_test: SelfTest { frames },
        })
    }
}

fn fix_frame(frame: Frame, heads: &energy::Heads) -> Result<SelfTestFrame, String> {
    let Frame { seed, size, energy_q16: stored, tolerance_q16, .. } = frame;
    let [avg, std, logits] = [frame.avg, frame.std, frame.logits]
        .map(|row| row.into_iter().map(|x| to_feature(f64::from(x))).collect());
    let features = Features { avg, std, logits };
    let mut scores = Scores::default();
    heads.score(&features, &mut Scratch::default(), &mut scores);
    let energy_q16 = scores.energy_q16;
    if energy_q16.abs_diff(stored) > float_tolerance_q16(stored) as u64 {
        return Err(format!(
            "self-test frame {seed}: the heads give energy {energy_q16}/65536, {stored} was stored; \
             this program does not compute what the model was packed with"
        ));
    }
    Ok(SelfTestFrame { seed, size, features, energy_q16, tolerance_q16 })
}
