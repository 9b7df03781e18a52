//! oddsight as a peer of `scripts/bench-peers`: from the decoded picture to the features.
//!
//!     peer_oddsight MODEL.onnx PICTURE WIDTH HEIGHT [--threads N] [--kernel NAME]
//!
//! PICTURE holds HEIGHT × WIDTH × 3 bytes, RGB.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use oddsight::backbone::{Backbone, Features, Normalise, Threads, from_feature};
use oddsight::image::Rgb;
use oddsight::kernel::Kernel;

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
    let kernel = match args.kernel.as_str() {
        "default" => Kernel::detect(),
        name => name.parse()?,
    };
    let pixels =
        std::fs::read(&args.picture).with_context(|| args.picture.display().to_string())?;
    let picture = Rgb { width: args.width, height: args.height, pixels };
    let backbone = Backbone::load_for(&args.model, Some([args.width, args.height]), kernel)?;
    let threads = Threads::new(args.threads.get())?;
    let mut state = backbone.state_on(&Normalise::CIFAR10, threads)?;
    let mut features = Features::default();
    serve::serve(|| {
        state.run_into(&picture, &mut features).expect("the picture has the backbone's size");
        features.logits.iter().map(|&logit| from_feature(logit)).collect()
    })?;
    Ok(())
}
