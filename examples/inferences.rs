//! Runs a network so many times, and nothing else: the program that `scripts/count-instructions` counts.
//!
//!     inferences 5 MODEL.onnx     # a backbone, on a seeded picture
//!     inferences 5 neon           # the convolutions of ResNet-18 at 32x32 alone, by one kernel

use std::path::Path;

use oddsight::backbone::{Backbone, Normalise};
use oddsight::kernel::Kernel;
use oddsight::model::self_test::picture;

#[path = "support/resnet18.rs"]
mod resnet18;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [inferences, network] = &arguments[..] else {
        return Err("usage: inferences N MODEL.onnx|KERNEL".into());
    };
    let inferences: u32 = inferences.parse()?;
    if !network.ends_with(".onnx") {
        convolutions(network.parse()?, inferences);
        return Ok(());
    }
    let backbone = Backbone::load(Path::new(network), None)?;
    let mut state = backbone.state(&Normalise::CIFAR10)?;
    let picture = picture(1, backbone.crop());
    for _ in 0..inferences {
        state.run(&picture)?;
    }
    Ok(())
}

fn convolutions(kernel: Kernel, inferences: u32) {
    for shape in resnet18::SMALL {
        let mut layer = resnet18::Layer::new(kernel, shape);
        for _ in 0..inferences * shape.5 {
            layer.run();
        }
    }
}
