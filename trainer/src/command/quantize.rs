//! `oddsight-train quantize`: a float backbone becomes an int8 one.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::image::Rgb;
use oddsight_train::compare::{Comparison, Top1};
use oddsight_train::features::FeatureFile;
use oddsight_train::files;
use oddsight_train::quantize::{Entry, Loss, Options, RangeRule, quantize};
use serde::Serialize;

use super::{BackboneArgs, WorkArgs};

mod compare;
mod sample;

use compare::{Backbones, CompareArgs};
use sample::Sample;

/// Pictures that the layers are compared on, at most.
const COMPARED: usize = 16;
/// Layers that are named as losing most.
const NAMED_LAYERS: usize = 5;

/// Arguments of `oddsight-train quantize`.
#[derive(Args)]
pub struct QuantizeArgs {
    #[command(flatten)]
    backbone: BackboneArgs,
    /// Normal pictures, in class folders if top-1 is wanted.
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Int8 ONNX file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Pictures to calibrate with, and as many others to measure top-1 on, at most; they are spread
    /// over the source where its size is known, else they are its first.
    #[arg(long, value_name = "N", default_value = "512")]
    pictures: NonZeroUsize,
    /// How an activation's range is chosen: least squared error, or 99.99 % of its values.
    #[arg(long, value_name = "mse|percentile", default_value_t = RangeRule::default())]
    range: RangeRule,
    /// First bring the weight ranges of consecutive convolutions together, channel by channel.
    #[arg(long)]
    equalize: bool,
    /// Leave the mean error of rounded weights in, to see what the correction of biases gains.
    #[arg(long)]
    no_bias_correction: bool,
    #[command(flatten)]
    compare: CompareArgs,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    work: WorkArgs,
}

/// The JSON of `oddsight-train quantize`; shares are in `0..=1`.
#[derive(Serialize)]
struct Report<'a> {
    range: String,
    bias_correction: bool,
    /// Pairs of convolutions.
    equalized: usize,
    /// Pictures.
    calibrated_on: usize,
    layers: usize,
    activations: usize,
    kept_float: &'a [String],
    top1: Option<Top1>,
    /// The greatest loss first.
    losses: Vec<Loss>,
    /// Pictures.
    heads_fitted_to: Option<usize>,
    /// As in the JSON of `oddsight-train eval`, three times.
    scores: Option<Comparison>,
}

/// Quantises, checks that the device can load the result, measures, writes and reports.
pub fn run(args: &QuantizeArgs) -> Result<()> {
    if FeatureFile::is_named_by(&args.data) {
        bail!("{}: a feature file; pictures are wanted", args.data);
    }
    let options = args.work.options()?;
    let source = &args.backbone.backbone;
    ensure!(
        !is_same_file(source, &args.out),
        "{}: the float backbone would be overwritten; choose another --out",
        args.out.display()
    );
    let (float, input) = args.backbone.load(None)?;
    args.compare.check(&args.data, &float)?;
    let sample = Sample::read(&args.data, args.pictures.get(), args.work.keep_going, &input)?;
    let entry = Entry { crop: float.crop(), normalise: input.normalise };
    let onnx = std::fs::read(source).with_context(|| source.display().to_string())?;
    let calibration: Vec<&Rgb> = sample.calibration.iter().collect();
    let how = Options {
        range: args.range,
        equalize: args.equalize,
        bias_correction: !args.no_bias_correction,
        threads: options.threads,
    };
    let quantized =
        quantize(&onnx, &entry, &calibration, how).with_context(|| source.display().to_string())?;
    let name = args.out.display().to_string();
    let int8 = Backbone::from_bytes(&quantized.onnx, &name, Some(entry.crop))?;
    let others: Vec<&Rgb> = sample.others.iter().map(|(_, picture)| picture).collect();
    let compared = if others.is_empty() { &calibration } else { &others };
    let compared = &compared[..compared.len().min(COMPARED)];
    let losses = quantized.losses(&entry, compared, options.threads)?;
    let (what, top1, scores) = match &args.compare.normal {
        Some(normal) => {
            let backbones = Backbones { float: &float, int8: &int8, input: &input, options };
            let folder = files::parent(&args.out)?;
            let (top1, scores) = args.compare.run(normal, &args.data, &backbones, &folder)?;
            ("normal", top1, Some(scores))
        }
        None => {
            let top1 = sample.top1(&float, &int8, &input.normalise, options.threads)?;
            ("other", top1, None)
        }
    };
    files::write_file(&args.out, &quantized.onnx)?;
    let report = Report {
        range: args.range.to_string(),
        bias_correction: how.bias_correction,
        equalized: quantized.equalized,
        calibrated_on: calibration.len(),
        layers: quantized.layers,
        activations: quantized.activations,
        kept_float: &quantized.kept_float,
        top1,
        losses,
        heads_fitted_to: scores.as_ref().map(|scores| scores.fitted_to),
        scores,
    };
    summarise(args, &report, what);
    if let Some(path) = &args.json {
        files::write_file(
            path,
            format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes(),
        )?;
    }
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn summarise(args: &QuantizeArgs, report: &Report, measured_on: &str) {
    println!(
        "{}: {} layers and {} activations in int8, ranges by {} of {} pictures",
        args.out.display(),
        report.layers,
        report.activations,
        report.range,
        report.calibrated_on
    );
    if args.equalize {
        println!("equalised: {} pairs of convolutions", report.equalized);
    }
    for node in report.kept_float {
        println!("stays float: {node}");
    }
    if let Some(top1) = &report.top1 {
        println!("{}", top1.line(measured_on));
    }
    if let Some(scores) = &report.scores {
        print!("{}", scores.table());
    }
    println!("signal to quantisation noise, the layers that lose most:");
    for loss in report.losses.iter().take(NAMED_LAYERS) {
        println!("  {:5.1} dB  {}", loss.sqnr_db, loss.node);
    }
}
