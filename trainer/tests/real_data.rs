//! Real pictures through a real backbone against features computed in PyTorch float32.
//!
//! The data lies beside a developer's checkout and is no part of the repository; without it each
//! test prints a SKIP line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oddsight::backbone::{Backbone, Normalise, from_feature};
use oddsight::camera::stored::{Stored, StoredCamera};
use oddsight::camera::{FrameSource as _, Next};
use safetensors::SafeTensors;

/// Pictures in the reference.
const PICTURES: usize = 64;

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
    let reference = std::fs::read(reference).unwrap();
    let reference = SafeTensors::deserialize(&reference).unwrap();
    let [avg, std, logits] = ["avg", "std", "logits"].map(|name| reference.tensor(name).unwrap());
    assert_eq!(avg.shape()[0], PICTURES);
    let backbone = Backbone::load(&onnx, None).unwrap();
    let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
    let mut camera = StoredCamera::new(Stored::open(&tar).unwrap());
    for index in 0..PICTURES {
        let Ok(Next::Frame(frame)) = camera.next_frame(Duration::ZERO) else {
            panic!("too few pictures")
        };
        let got = state.run(&frame.picture().unwrap()).unwrap();
        for (got, wanted) in [(&got.avg, &avg), (&got.std, &std), (&got.logits, &logits)] {
            let row = &wanted.data()[index * 4 * got.len()..][..4 * got.len()];
            for (a, b) in got.iter().zip(row.as_chunks().0) {
                let (a, b) = (from_feature(*a), f64::from(f32::from_le_bytes(*b)));
                assert!((a - b).abs() <= 1e-4 + 1e-3 * b.abs(), "picture {index}: {a}, {b}");
            }
        }
    }
}
