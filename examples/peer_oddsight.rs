//! oddsight as a peer of `scripts/bench-peers`: from the decoded picture to the features.
//!
//!     peer_oddsight MODEL.onnx PICTURE WIDTH HEIGHT [--threads N] [--kernel NAME]
//!
//! PICTURE holds HEIGHT × WIDTH × 3 bytes, RGB.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use oddsight::backbone::{Backbone, Normalise};
use oddsight::image::Rgb;

#[path = "support/serve.rs"]
mod serve;

#[derive(Parser)]
struct Args {
    model: PathBuf,
    picture: PathBuf,
    width: u32,
    height: u32,
    /// Threads of one inference.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Int8 kernel, or `default` for the one that this machine runs best.
    #[arg(long, default_value = "default")]
    kernel: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.kernel == "default", "the backbone has no choice of kernels yet");
    ensure!(args.threads.get() == 1, "the backbone runs on one thread yet");
    let pixels =
        std::fs::read(&args.picture).with_context(|| args.picture.display().to_string())?;
    let picture = Rgb { width: args.width, height: args.height, pixels };
    let backbone = Backbone::load(&args.model, Some([args.width, args.height]))?;
    let mut state = backbone.state(&Normalise::CIFAR10)?;
    serve::serve(|| {
        let features = state.run(&picture).expect("the picture has the backbone's size");
        features.logits.iter().map(|&v| f64::from(v)).collect()
    })?;
    Ok(())
}
