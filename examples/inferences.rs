//! Runs a backbone so many times, and nothing else: the program that `scripts/count-instructions` counts.
//!
//!     inferences N MODEL.onnx [KERNEL]
//!
//! The picture is seeded; KERNEL is for int8 networks, the fastest one of the machine without it.

use std::path::Path;

use oddsight::backbone::{Backbone, Normalise};
use oddsight::kernel::Kernel;
use oddsight::model::self_test::picture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (inferences, model, kernel) = match &arguments[..] {
        [inferences, model] => (inferences, model, Kernel::detect()),
        [inferences, model, kernel] => (inferences, model, kernel.parse()?),
        _ => return Err("usage: inferences N MODEL.onnx [KERNEL]".into()),
    };
    let backbone = Backbone::load_for(Path::new(model), None, kernel)?;
    let mut state = backbone.state(&Normalise::CIFAR10)?;
    let picture = picture(1, backbone.crop());
    for _ in 0..inferences.parse()? {
        state.run(&picture)?;
    }
    Ok(())
}
