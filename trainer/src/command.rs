//! The commands of the host program and the arguments that they share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::backbone::{Backbone, Normalise};
use oddsight::image::{Preprocess, Resize};
use oddsight_train::extract::{Options, default_threads};
use oddsight_train::features::{FeatureFile, Input};

pub mod eval;
pub mod features;
pub mod fit;
mod heads;
pub mod quantize;
pub mod recipe;

/// Key of a card: the sources of unusual pictures that shaped the model, an empty list if there are none.
const KNOWN_UNUSUAL: &str = "known_unusual";
/// Key of a card: the source of the pictures that heads were fitted to.
const DATA: &str = "data";
/// Key of a card: the source of the pictures that verdicts are calibrated with.
const CALIBRATION: &str = "calibration";
/// Key of a card: digests of the pictures of these sources, under the same keys.
const DIGESTS: &str = "digests";

/// The network and how pictures are brought to its input.
#[derive(Args)]
pub struct BackboneArgs {
    /// ONNX file of a ResNet-like network.
    #[arg(long, value_name = "FILE")]
    backbone: PathBuf,
    /// Input side in pixels, or WIDTHxHEIGHT; by default what the network was exported for.
    #[arg(long, value_name = "SIDE", value_parser = parse_size)]
    input_size: Option<[u32; 2]>,
    /// Resize before the centre crop: the length of the shorter side, or `stretch`; by default the
    /// shorter side becomes the input's.
    #[arg(long, value_name = "SIDE|stretch")]
    resize: Option<String>,
    /// Mean of the training pictures' channels as 0…1; by default CIFAR-10's for a network
    /// exported for up to 64 pixels, ImageNet's above.
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of the same.
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
}

impl BackboneArgs {
    /// Loads the backbone. What `file` says of its pictures stands in for flags that are not given.
    fn load(&self, file: Option<&FeatureFile>) -> Result<(Backbone, Input)> {
        let stored = file.and_then(FeatureFile::origin).map(|origin| &origin.input);
        let crop = self.input_size.or(stored.map(|input| input.preprocess.crop));
        let backbone = Backbone::load(&self.backbone, crop)?;
        let crop = backbone.crop();
        let resize = match self.resize.as_deref() {
            None => stored.map_or(Resize::Shorter(crop[0].min(crop[1])), |i| i.preprocess.resize),
            Some("stretch") => Resize::Stretch(crop[0], crop[1]),
            Some(side) => match side.parse() {
                Ok(side) if side >= crop[0].max(crop[1]) => Resize::Shorter(side),
                Ok(side) => bail!("--resize {side} is smaller than the input of {crop:?}"),
                Err(_) => bail!("--resize `{side}` is neither a number of pixels nor `stretch`"),
            },
        };
        let normalise = match (&self.mean, &self.std) {
            (Some(mean), Some(std)) => Normalise { mean: triple(mean)?, std: triple(std)? },
            _ => {
                let [width, height] = backbone.exported_for().unwrap_or(crop);
                stored.map_or(Normalise::usual_for(width.max(height)), |input| input.normalise)
            }
        };
        ensure!(normalise.is_valid(), "--mean and --std must be finite, and --std positive");
        let preprocess = Preprocess { resize, crop };
        Ok((backbone, Input { preprocess, normalise }))
    }
}

fn triple(values: &[f32]) -> Result<[f32; 3]> {
    values
        .try_into()
        .ok()
        .with_context(|| format!("{values:?} is not three numbers, one per channel"))
}

fn parse_size(text: &str) -> Result<[u32; 2], String> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) => Ok([width, height]),
        _ => Err("write a number of pixels, or WIDTHxHEIGHT".into()),
    }
}

/// `NAME=SRC`.
fn parse_named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, source)) if !name.is_empty() && !source.is_empty() => {
            Ok((name.into(), source.into()))
        }
        _ => Err("write NAME=SRC, for example textures=textures.tar".into()),
    }
}

/// How work is done.
#[derive(Args)]
pub struct WorkArgs {
    /// Threads; by default one per core. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Go on when more than 1 % of the pictures are unreadable.
    #[arg(long)]
    keep_going: bool,
}

impl WorkArgs {
    fn options(&self) -> Result<Options> {
        let threads = match self.threads {
            Some(threads) => threads,
            None => default_threads()?,
        };
        Ok(Options { threads, keep_going: self.keep_going })
    }
}

/// Refuses a feature file that another backbone made.
fn check_features(
    file: &FeatureFile,
    text: &str,
    backbone: &Backbone,
    input: &Input,
) -> Result<()> {
    ensure!(
        (file.width(), file.classes()) == (backbone.width(), backbone.classes()),
        "{text}: rows of {} features and {} logits, but the backbone gives {} and {}; extract it \
         again with this backbone",
        file.width(),
        file.classes(),
        backbone.width(),
        backbone.classes()
    );
    if let Some(origin) = file.origin() {
        ensure!(
            origin.backbone_sha256 == oddsight::model::hex(&backbone.digest()),
            "{text}: made with another backbone (SHA-256 {}); extract it again with this one",
            origin.backbone_sha256
        );
        ensure!(
            origin.input == *input,
            "{text}: its pictures were preprocessed in another way ({:?}); extract it again",
            origin.input
        );
    }
    Ok(())
}
