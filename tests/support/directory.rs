//! A model directory around the tiny network, with heads that need no fitting.
//!
//! Each test program uses a part of it.
#![allow(dead_code)]

use std::path::Path;

use oddsight::backbone::{Backbone, Normalise};
use oddsight::energy::Rule;
use oddsight::energy::float::{Composition, Gmm, GmmScore, Head, Heads, Knn, Term};
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
    let number = |i: usize| ((i * 37 % 19) as f64 - 9.0) / 32.0;
    let mixture = |score| Gmm {
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
    };
    let rows = (0..5 * width).map(|i| number(i) as f32).collect();
    let mut all = heads();
    all.heads.extend([
        Head::Gmm(mixture(GmmScore::Mixture)),
        Head::GmmStd(mixture(GmmScore::MinMahalanobis)),
        Head::Knn(Knn { normalize: true, k: 2, width: width as u32, rows }),
    ]);
    all.composition.rule = Rule::LogSumExp(0.5);
    all.composition.terms.extend((3..6).map(|head| Term {
        head,
        mean: 1.0,
        std: 3.0,
        weight: 1.0,
    }));
    all
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
