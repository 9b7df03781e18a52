//! A model directory around the tiny network, with heads that need no fitting.
//!
//! Each test program uses a part of it.
#![allow(dead_code)]

use std::path::Path;

use oddsight::backbone::{Backbone, Normalise};
use oddsight::energy::Rule;
use oddsight::energy::float::{
    Composition, Dense, Gmm, GmmScore, Head, Heads, Heat, Knn, LogitEnergy, Residual, Term,
};
use oddsight::image::{Preprocess, Resize};
use oddsight::model::{BACKBONE_FILE, HEADS_FILE, HeadsBlob, Model, SelfTest};

use crate::tiny::{self, Tail};

/// Packs the model into `dir`.
pub fn write(dir: &Path) -> HeadsBlob {
    let onnx = tiny::onnx(Tail::Legacy);
    let blob = blob(&onnx, &heads());
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(BACKBONE_FILE), &onnx).unwrap();
    std::fs::write(dir.join(HEADS_FILE), blob.to_bytes()).unwrap();
    blob
}

/// Heads of the final layer, two of them composed.
pub fn heads() -> Heads {
    let terms = vec![
        Term { head: 0, mean: -0.5, std: 0.25, weight: 1.0 },
        Term { head: 2, mean: -1.5, std: 0.5, weight: 1.0 },
    ];
    Heads {
        heads: vec![Head::Msp, Head::Mls, Head::El],
        composition: Composition { rule: Rule::Sum, terms },
    }
}

/// One head of every kind, with numbers made up for small features of this width.
pub fn every_head(width: usize) -> Heads {
    let mut all = heads_of_format_2(width);
    let refined = refined_heads(width);
    let later = refined.composition.terms.into_iter();
    all.composition.terms.extend(later.map(|term| Term { head: term.head + 6, ..term }));
    all.heads.extend(refined.heads);
    all
}

/// The refined heads, composed with weights.
pub fn refined_heads(width: usize) -> Heads {
    let gmm = mixture(width, GmmScore::Mixture);
    let least = mixture(width, GmmScore::MinMahalanobis);
    let heads = vec![
        Head::HeatGmm(heat(gmm, true, &[[width, 12], [12, 12], [12, 1]], &[0, 1, 1, 2])),
        Head::HeatGmmStd(heat(least, false, &[[width, 6], [6, 3], [3, 1]], &[0, 1, 2])),
        Head::HeatEl(heat(LogitEnergy, false, &[[width, 9], [9, 1]], &[0, 1])),
    ];
    let term = |(head, weight)| Term { head, mean: 1.0, std: 3.0, weight };
    let terms = (0..3).zip([1.0, 0.5, 2.0]).map(term).collect();
    Heads { heads, composition: Composition { rule: Rule::Sum, terms } }
}

/// One head of every kind that format 2 has.
pub fn heads_of_format_2(width: usize) -> Heads {
    let rows = (0..5 * width).map(|i| number(i) as f32).collect();
    let mut all = heads();
    all.heads.extend([
        Head::Gmm(mixture(width, GmmScore::Mixture)),
        Head::GmmStd(mixture(width, GmmScore::MinMahalanobis)),
        Head::Knn(Knn { normalize: true, k: 2, width: width as u32, rows }),
    ]);
    all.composition.rule = Rule::LogSumExp(0.5);
    let term = |head| Term { head, mean: 1.0, std: 3.0, weight: 1.0 };
    all.composition.terms.extend((3..6).map(term));
    all
}

fn number(i: usize) -> f64 {
    ((i * 37 % 19) as f64 - 9.0) / 32.0
}

fn mixture(width: usize, score: GmmScore) -> Gmm {
    Gmm {
        normalize: score == GmmScore::Mixture,
        score,
        width: width as u32,
        whitener: (0..width)
            .flat_map(|i| (0..=i).map(move |j| if i == j { 2.0 } else { number(i * width + j) }))
            .collect(),
        whitened_means: (0..2 * width).map(number).collect(),
        log_weights: vec![-std::f64::consts::LN_2; 2],
        half_log_det: -std::f64::consts::LN_2 * width as f64,
        ridge: 0.0,
    }
}

/// A prior, refined by layers of these shapes in this order.
fn heat<P>(prior: P, normalize: bool, shapes: &[[usize; 2]], order: &[u32]) -> Heat<P> {
    let dense = |&[inputs, outputs]: &[usize; 2]| Dense {
        inputs: inputs as u32,
        outputs: outputs as u32,
        weights: (0..inputs * outputs).map(|i| number(3 * i + 1) as f32).collect(),
        biases: (0..outputs).map(|i| number(5 * i + 2) as f32).collect(),
    };
    let residual = Residual {
        layers: shapes.iter().map(dense).collect(),
        order: order.to_vec(),
        ranges: vec![2.0; order.len()],
    };
    Heat { normalize, residual, temperature: 0.25, prior, prior_temperature: 4.0 }
}

/// The heads, calibrated with made-up energies.
pub fn blob(onnx: &[u8], heads: &Heads) -> HeadsBlob {
    let backbone = Backbone::from_bytes(onnx, "tiny.onnx", None).unwrap();
    let blob = HeadsBlob {
        made_by: "test".into(),
        backbone_sha256: backbone.digest(),
        preprocess: Preprocess { resize: Resize::Shorter(tiny::SIDE), crop: [tiny::SIDE; 2] },
        normalise: Normalise::CIFAR10,
        taps: backbone.taps().clone(),
        heads: heads.fix().unwrap(),
        calibration_q16: (-100..100).map(|i| i * 6553).collect(),
        alpha: 0.05,
        class_names: Vec::new(),
        self_test: SelfTest::default(),
    };
    let model = Model::assemble(backbone, blob, Path::new("test")).unwrap();
    let self_test = SelfTest::record(&mut model.scorer().unwrap()).unwrap();
    HeadsBlob { self_test, ..model.blob().clone() }
}
