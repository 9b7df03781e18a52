//! Times training steps of the residual that the authors train for CIFAR-10: 1,024 rows of 256 features,
//! 1,024 hidden units applied four times, 40 Langevin steps, a mixture of ten components.
//!
//! Prints one line per step: seconds, billions of floating-point operations, and how many of them the
//! same cores do per second when they do nothing but multiply and add in registers.

#[path = "support/peak.rs"]
mod peak;

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use oddsight::backbone::{Features, Normalise, to_feature};
use oddsight::energy::HeadId;
use oddsight::fit::{GmmOptions, fit_gmm};
use oddsight::image::{Preprocess, Resize};
use oddsight::random::Random;
use oddsight_train::autodiff::Mixture;
use oddsight_train::features::{FeatureFile, FeatureWriter, Input, Origin, Tap, TapRows};
use oddsight_train::heat::{Constants, Data, Event, Prior, Seed, train};
use oddsight_train::labels::Labels;
use oddsight_train::recipe::{Layer, Recipe};

const WIDTH: usize = 256;
const CLASSES: usize = 10;

#[derive(Parser)]
struct Args {
    /// Threads that share the work.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Steps to take.
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Print objects, one per line.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let recipe = Recipe::of(&[Layer::set("preset=\"cifar10\"")?])?;
    let constants = recipe.constants(HeadId::HeatGmm).context("constants")?.clone();
    let constants = Constants { epochs: args.steps, ..constants };
    let folder = tempfile::tempdir()?;
    let file = features(folder.path(), constants.batch)?;
    let file = FeatureFile::open(file.path())?;
    let keep = vec![true; file.len()];
    let rows = TapRows { file: &file, tap: Tap::Avg, keep: &keep };
    let classes = &file.labels().context("labels")?.classes;
    let prior = Prior::Mixture(Mixture::new(&fit_gmm(&rows, classes, &GmmOptions::default())?));
    let mut data = Data::new(&file, Tap::Avg, &keep, true)?;
    let gflop = operations(&constants) / 1e9;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let (mut started, mut cpu_started) = (Instant::now(), processor_s());
    let (_, state) = pool.install(|| {
        train(&mut data, &prior, &constants, Seed(0), None, &mut |event| {
            if let Event::Step(_) = event {
                let step_s = started.elapsed().as_secs_f64();
                let cpu_s = processor_s().zip(cpu_started).map(|(now, then)| now - then);
                let peak_gflop_per_s = peak::gflop_per_s(args.threads);
                show(&args, step_s, cpu_s, gflop, peak_gflop_per_s);
                (started, cpu_started) = (Instant::now(), processor_s());
            }
            Ok(())
        })
    })?;
    match state.updates == args.steps as u64 {
        true => Ok(()),
        false => bail!("{} steps instead of {}", state.updates, args.steps),
    }
}

fn show(args: &Args, step_s: f64, cpu_s: Option<f64>, gflop: f64, peak_gflop_per_s: f64) {
    if args.json {
        let cpu = cpu_s.map_or(String::new(), |cpu_s| format!("\"cpu_s\":{cpu_s:.2},"));
        println!(
            "{{\"step_s\":{step_s:.4},{cpu}\"gflop\":{gflop:.2},\"peak_gflop_per_s\":{peak_gflop_per_s:.1}}}"
        );
        return;
    }
    let rate = gflop / step_s;
    let cpu = cpu_s.map_or(String::new(), |cpu_s| format!(" ({cpu_s:.2} s of processor time)"));
    println!(
        "{step_s:.3} s{cpu}, {gflop:.1} GFLOP, {rate:.1} GFLOP/s = {:.0} % of {peak_gflop_per_s:.1}",
        100.0 * rate / peak_gflop_per_s
    );
}

/// Processor time that this process has used, where the system tells: Linux, in hundredths of a second.
fn processor_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything; user and system time are the 12th and
    // 13th words behind it.
    let (_, words) = stat.rsplit_once(')')?;
    let ticks = words.split_whitespace().skip(11).take(2).map(|word| word.parse::<f64>().ok());
    Some(ticks.sum::<Option<f64>>()? / 100.0)
}

/// Floating-point operations of the products of one step, 2 per multiplication and addition; what is done
/// to single numbers is not counted.
fn operations(constants: &Constants) -> f64 {
    let (rows, hidden) = (constants.batch as f64, constants.hidden as f64);
    let width = WIDTH as f64;
    let forward = width * hidden + constants.depth as f64 * hidden * hidden + hidden;
    // Whitening, distances, and both backward.
    let prior = 2.0 * (width * width + width * CLASSES as f64);
    let chains = rows * constants.steps as f64 * (2.0 * forward + prior);
    // Data, ends and starts: forward, backward to the first layer's outputs, and the parameters.
    let loss = 3.0 * rows * (3.0 * forward - width * hidden);
    2.0 * (chains + loss)
}

/// Rows of ten classes whose means differ, as a backbone could give them.
fn features(folder: &std::path::Path, rows: usize) -> Result<tempfile::NamedTempFile> {
    let mut random = Random::new(1);
    let mut writer = FeatureWriter::new(folder, WIDTH, CLASSES)?;
    let means: Vec<f64> = (0..CLASSES * WIDTH).map(|_| random.range(0.0, 1.0)).collect();
    for row in 0..rows {
        let class = row % CLASSES;
        let mut around = |mean: f64| to_feature((mean + random.range(-0.5, 0.5)).max(0.0));
        let avg = means[class * WIDTH..][..WIDTH].iter().map(|&mean| around(mean)).collect();
        let (std, logits) = (vec![to_feature(1.0); WIDTH], vec![0; CLASSES]);
        writer.push(row.to_string(), &Features { avg, std, logits })?;
    }
    let labels = Labels {
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        labels: (0..rows).map(|row| (row % CLASSES) as u32).collect(),
    };
    let preprocess = Preprocess { resize: Resize::Stretch(32, 32), crop: [32, 32] };
    let origin = Origin {
        backbone_sha256: String::new(),
        data_sha256: String::new(),
        input: Input { preprocess, normalise: Normalise::usual_for(32) },
    };
    writer.finish(Some(&labels), &origin)
}
