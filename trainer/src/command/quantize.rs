//! `oddsight-train quantize`: a float backbone becomes an int8 one.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::backbone::{Backbone, Normalise};
use oddsight::image::{self, Rgb};
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::labels::{Labeller, Labels};
use oddsight_train::pack;
use oddsight_train::progress::Progress;
use oddsight_train::quantize::{Entry, Options, Quantized, RangeRule, quantize};
use oddsight_train::source::{Pictures, Raw};

use super::{BackboneArgs, WorkArgs};

/// Pictures that the layers are compared on, at most.
const COMPARED: usize = 16;
/// Layers that are named as losing most.
const NAMED_LAYERS: usize = 5;
/// Unreadable pictures that are named; the rest are counted.
const NAMED: usize = 10;

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
    #[command(flatten)]
    work: WorkArgs,
}

/// Quantises, checks that the device can load the result, writes it and reports.
pub fn run(args: &QuantizeArgs) -> Result<()> {
    if FeatureFile::is_named_by(&args.data) {
        bail!("{}: a feature file; pictures are wanted", args.data);
    }
    let options = args.work.options()?;
    let source = &args.backbone.backbone;
    let is_same = |a, b| matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b);
    ensure!(
        !is_same(source.as_path(), args.out.as_path()),
        "{}: the float backbone would be overwritten; choose another --out",
        args.out.display()
    );
    let (float, input) = args.backbone.load(None)?;
    let pictures = Sample::read(args, &input)?;
    let entry = Entry { crop: float.crop(), normalise: input.normalise };
    let onnx = std::fs::read(source).with_context(|| source.display().to_string())?;
    let calibration: Vec<&Rgb> = pictures.calibration.iter().collect();
    let how = Options { range: args.range, threads: options.threads };
    let quantized =
        quantize(&onnx, &entry, &calibration, how).with_context(|| source.display().to_string())?;
    let name = args.out.display().to_string();
    let int8 = Backbone::from_bytes(&quantized.onnx, &name, Some(entry.crop))?;
    let others: Vec<&Rgb> = pictures.others.iter().map(|(_, picture)| picture).collect();
    let compared = if others.is_empty() { &calibration } else { &others };
    let compared = &compared[..compared.len().min(COMPARED)];
    let losses = quantized.losses(&entry, compared, options.threads)?;
    let top1 = pictures.top1(&float, &int8, &input.normalise, options.threads)?;
    pack::write_file(&args.out, &quantized.onnx)?;
    summarise(args, &quantized, calibration.len());
    if let Some(top1) = top1 {
        println!("{top1}");
    }
    println!("signal to quantisation noise, the layers that lose most:");
    for loss in losses.iter().take(NAMED_LAYERS) {
        println!("  {:5.1} dB  {}", loss.sqnr_db, loss.node);
    }
    Ok(())
}

fn summarise(args: &QuantizeArgs, quantized: &Quantized, calibration: usize) {
    println!(
        "{}: {} layers and {} activations in int8, ranges by {} of {calibration} pictures",
        args.out.display(),
        quantized.layers,
        quantized.activations,
        args.range
    );
    for node in &quantized.kept_float {
        println!("stays float: {node}");
    }
}

/// Pictures to calibrate with, and others to measure on, under their names.
struct Sample {
    calibration: Vec<Rgb>,
    others: Vec<(String, Rgb)>,
}

impl Sample {
    /// Takes pictures alternately for the one and the other, so that a source in the order of its
    /// classes gives both the same classes.
    fn read(args: &QuantizeArgs, input: &Input) -> Result<Sample> {
        let text = &args.data;
        let mut source = Pictures::open(text)?;
        let wanted = 2 * args.pictures.get();
        // Of `count` pictures, `wanted` at equal distances; all where their number is not known.
        let count = source.count().map_or(wanted, |count| wanted.max(count as usize));
        let mut progress = Progress::new(
            text,
            Some(source.count().map_or(wanted, |c| wanted.min(c as usize)) as u64),
        );
        let mut sample = Sample { calibration: Vec::new(), others: Vec::new() };
        let (mut index, mut unreadable) = (0, 0);
        while sample.calibration.len() + sample.others.len() < wanted {
            let Some(raw) = source.next_raw() else { break };
            index += 1;
            let raw = raw?;
            if (index - 1) * wanted % count >= wanted {
                continue;
            }
            progress.tick();
            match raw.map_err(|e| e.why).and_then(|raw| prepare(raw, input)) {
                Ok((_, picture)) if sample.calibration.len() <= sample.others.len() => {
                    sample.calibration.push(picture);
                }
                Ok(other) => sample.others.push(other),
                Err(why) => {
                    unreadable += 1;
                    if unreadable <= NAMED {
                        log::warn!("skipped {why}");
                    }
                }
            }
        }
        progress.finish();
        let read = sample.calibration.len() + sample.others.len();
        ensure!(read > 0, "{text}: no picture could be read ({unreadable} are unreadable)");
        if unreadable * 100 > read + unreadable && !args.work.keep_going {
            bail!(
                "{text}: {unreadable} of {} pictures are unreadable, more than 1 %; \
                 mend them, or go on without them with --keep-going",
                read + unreadable
            );
        }
        Ok(sample)
    }

    fn labels(&self) -> Result<Option<Labels>> {
        let mut labeller = Labeller::default();
        self.others.iter().for_each(|(name, _)| labeller.push(name));
        match labeller.finish() {
            Ok(labels) => Ok(labels),
            Err(mixed) => bail!(
                "folder `{}` holds both class folders and pictures; move the pictures into a class \
                 folder, or the class folders away",
                mixed.folder
            ),
        }
    }

    /// The line on top-1, when the pictures' classes are the network's.
    fn top1(
        &self,
        float: &Backbone,
        int8: &Backbone,
        how: &Normalise,
        threads: NonZeroUsize,
    ) -> Result<Option<String>> {
        let Some(labels) = self.labels()? else { return Ok(None) };
        if labels.classes.len() != float.classes() {
            log::warn!(
                "top-1 is left out: the pictures have {} classes, the backbone {}",
                labels.classes.len(),
                float.classes()
            );
            return Ok(None);
        }
        let progress = Mutex::new(Progress::new("measuring top-1", Some(self.others.len() as u64)));
        let count = |first: usize| -> Result<[usize; 3]> {
            let (mut float, mut int8) = (float.state(how)?, int8.state(how)?);
            let mut counts = [0; 3];
            for index in (first..self.others.len()).step_by(threads.get()) {
                let (picture, label) = (&self.others[index].1, labels.labels[index] as usize);
                let float = largest(&float.run(picture)?.logits);
                let int8 = largest(&int8.run(picture)?.logits);
                let found = [float == label, int8 == label, float == int8];
                counts.iter_mut().zip(found).for_each(|(sum, is)| *sum += usize::from(is));
                if let Ok(mut progress) = progress.lock() {
                    progress.tick();
                }
            }
            Ok(counts)
        };
        let counts = std::thread::scope(|scope| {
            let count = &count;
            let workers: Vec<_> =
                (0..threads.get()).map(|first| scope.spawn(move || count(first))).collect();
            let join = workers.into_iter().map(|worker| worker.join());
            join.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>>>()
        })?;
        if let Ok(progress) = progress.into_inner() {
            progress.finish();
        }
        let total = |which: usize| counts.iter().map(|counts| counts[which]).sum::<usize>();
        let all = self.others.len();
        let percent = |count: usize| 100.0 * count as f64 / all as f64;
        Ok(Some(format!(
            "top-1 on {all} other pictures: float {:.1} %, int8 {:.1} %, same class {:.1} %",
            percent(total(0)),
            percent(total(1)),
            percent(total(2))
        )))
    }
}

fn prepare(raw: Raw, input: &Input) -> Result<(String, Rgb), String> {
    let Raw { name, content } = raw;
    let picture = content.decode().and_then(|picture| image::prepare(&picture, &input.preprocess));
    match picture {
        Ok(picture) => Ok((name, picture)),
        Err(e) => Err(format!("{name}: {e}")),
    }
}

/// Index of the largest logit; the first of equals.
fn largest(logits: &[i32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}
