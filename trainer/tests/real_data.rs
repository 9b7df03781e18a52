//! Real pictures through a real backbone against features computed in PyTorch float32.
//!
//! The data lies beside a developer's checkout and is no part of the repository; without it each
//! test prints a SKIP line.

use std::path::{Path, PathBuf};

use oddsight::backbone::{Backbone, Normalise};
use oddsight::camera::FrameSource as _;
use oddsight::camera::stored::{Stored, StoredCamera};
use oddsight_train::features::FeatureFile;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if !path.exists() {
        println!("SKIP: no {} beside the checkout", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn features_of_real_pictures_are_those_of_pytorch() {
    let (Some(onnx), Some(tar), Some(reference)) = (
        shared("models/resnet18-w32-cifar10.onnx"),
        shared("data/cifar10-test.tar"),
        shared("reference/features-w32.safetensors"),
    ) else {
        return;
    };
    let reference = FeatureFile::open(&reference).unwrap();
    let backbone = Backbone::load(&onnx, None).unwrap();
    let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
    let mut camera = StoredCamera::new(Stored::open(&tar).unwrap());
    let mut pictures = 0;
    reference
        .visit(|index, wanted| {
            let frame = camera.next_frame().unwrap().unwrap();
            let got = state.run(&frame.picture).unwrap();
            let rows =
                [(&got.avg, &wanted.avg), (&got.std, &wanted.std), (&got.logits, &wanted.logits)];
            for (got, wanted) in rows {
                for (a, b) in got.iter().zip(wanted) {
                    assert!((a - b).abs() <= 1e-4 + 1e-3 * b.abs(), "picture {index}: {a}, {b}");
                }
            }
            pictures += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(pictures, 64);
}
