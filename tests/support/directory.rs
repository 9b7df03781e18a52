//! A model directory around the tiny network, with heads that need no fitting.

use std::path::Path;

use oddsight::backbone::{Backbone, Normalise};
use oddsight::energy::{Composition, Head, Heads, Rule, Term};
use oddsight::image::{Preprocess, Resize};
use oddsight::model::{BACKBONE_FILE, HEADS_FILE, HeadsBlob, Model, SelfTest};

use crate::tiny::{self, Tail};

/// Packs the model into `dir`.
pub fn write(dir: &Path) -> HeadsBlob {
    let onnx = tiny::onnx(Tail::Legacy);
    let blob = blob(&onnx);
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(BACKBONE_FILE), &onnx).unwrap();
    std::fs::write(dir.join(HEADS_FILE), blob.to_bytes()).unwrap();
    blob
}

/// The heads, calibrated with made-up energies.
pub fn blob(onnx: &[u8]) -> HeadsBlob {
    let backbone = Backbone::from_bytes(onnx, "tiny.onnx", None).unwrap();
    let terms =
        vec![Term { head: 0, mean: -0.5, std: 0.25 }, Term { head: 2, mean: -1.5, std: 0.5 }];
    let blob = HeadsBlob {
        made_by: "test".into(),
        backbone_sha256: backbone.digest(),
        preprocess: Preprocess { resize: Resize::Shorter(tiny::SIDE), crop: [tiny::SIDE; 2] },
        normalise: Normalise::CIFAR10,
        taps: backbone.taps().clone(),
        heads: Heads {
            heads: vec![Head::Msp, Head::Mls, Head::El],
            composition: Composition { rule: Rule::Sum, terms },
        },
        calibration_q16: (-100..100).map(|i| i * 6553).collect(),
        alpha: 0.05,
        class_names: Vec::new(),
        self_test: SelfTest::default(),
    };
    let model = Model::assemble(backbone, blob, Path::new("test")).unwrap();
    let self_test = SelfTest::record(&mut model.scorer().unwrap()).unwrap();
    HeadsBlob { self_test, ..model.blob().clone() }
}
