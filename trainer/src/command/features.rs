//! `oddsight-train features`: extract once, fit and evaluate many times.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::model::hex;
use oddsight_train::extract::{Options, extract};
use oddsight_train::features::{FeatureFile, FeatureWriter, Input, Origin};
use oddsight_train::files;

use super::{BackboneArgs, WorkArgs};

/// Arguments of `oddsight-train features`.
#[derive(Args)]
pub struct FeaturesArgs {
    #[command(flatten)]
    backbone: BackboneArgs,
    /// Pictures: a folder, class folders, a .tar of either, a CIFAR binary folder or synth:SEED.
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Feature file to write (safetensors).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    work: WorkArgs,
}

/// Extracts and writes the feature file.
pub fn run(args: &FeaturesArgs) -> Result<()> {
    if FeatureFile::is_named_by(&args.data) {
        bail!("{}: already a feature file", args.data);
    }
    let (backbone, input) = args.backbone.load(None)?;
    let folder = files::parent(&args.out)?;
    let (file, _) = spool(&args.data, &backbone, &input, args.work.options()?, &folder)?;
    files::persist(file, &args.out)?;
    let written = FeatureFile::open(&args.out)?;
    let labels = written.labels().map_or(0, |labels| labels.classes.len());
    println!(
        "{}: {} pictures, {} features, {} logits, {labels} classes of pictures",
        args.out.display(),
        written.len(),
        written.width(),
        written.classes()
    );
    Ok(())
}

/// Extracts a source into a temporary feature file in `folder`; also returns the number of
/// unreadable pictures.
pub fn spool(
    text: &str,
    backbone: &Backbone,
    input: &Input,
    options: Options,
    folder: &Path,
) -> Result<(tempfile::NamedTempFile, usize)> {
    let mut writer = FeatureWriter::new(folder, backbone.width(), backbone.classes())?;
    let summary =
        extract(text, backbone, input, options, |name, features| writer.push(name, features))?;
    let labels = match summary.labels {
        Ok(labels) => labels,
        Err(mixed) => bail!(
            "{text}: folder `{}` holds both class folders and pictures; move the pictures into a \
             class folder, or the class folders away",
            mixed.folder
        ),
    };
    let origin = Origin {
        backbone_sha256: hex(&backbone.digest()),
        data_sha256: summary.sha256,
        input: input.clone(),
    };
    let file = writer.finish(labels.as_ref(), &origin)?;
    Ok((file, summary.unreadable))
}
