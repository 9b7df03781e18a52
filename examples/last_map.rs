//! The last int8 feature map of each of some pictures: oddsight's side of `scripts/compare-maps`.
//!
//!     last_map MODEL.onnx PICTURES WIDTH HEIGHT > MAPS
//!
//! PICTURES holds HEIGHT × WIDTH × 3 bytes for each picture, RGB; MAPS gets height × width × channels bytes for
//! each, an unsigned map with its top bit flipped.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use oddsight::backbone::{Backbone, Normalise};
use oddsight::image::Rgb;

#[derive(Parser)]
struct Args {
    model: PathBuf,
    pictures: PathBuf,
    width: u32,
    height: u32,
}

fn main() -> Result<()> {
    let Args { model, pictures, width, height } = Args::parse();
    let backbone = Backbone::load(&model, Some([width, height]))?;
    let mut state = backbone.state(&Normalise::CIFAR10)?;
    let pixels = std::fs::read(&pictures).with_context(|| pictures.display().to_string())?;
    let mut out = std::io::stdout().lock();
    for pixels in pixels.chunks_exact(width as usize * height as usize * 3) {
        state.run(&Rgb { width, height, pixels: pixels.to_vec() })?;
        let map = state.int8_map().context("the network is not int8 from end to end")?;
        out.write_all(&map.values.iter().map(|&q| q as u8).collect::<Vec<u8>>())?;
    }
    Ok(())
}
