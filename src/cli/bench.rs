//! `oddsight bench`: how long each stage of a frame takes on this machine.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Instant;

use allocation_counter::AllocationInfo;
use anyhow::{Result, anyhow};
use clap::Args;
use oddsight::backbone::Features;
use oddsight::energy::Scores;
use oddsight::image::{ImageError, Rgb, prepare};
use oddsight::kernel::Kernel;
use oddsight::model::{Model, Scorer, self_test};
use serde::Serialize;
use serde_json::json;

use super::timing::{Series, median, quantile, rate_cells};
use super::{EngineArgs, clock};

/// Arguments of `oddsight bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// The model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// Frames that are timed.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Size of the camera's pictures.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x480", value_parser = size)]
    picture: [u32; 2],
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    parsed
        .filter(|sides| sides.iter().all(|side| (1..=8192).contains(side)))
        .ok_or_else(|| format!("`{text}` is no size between 1x1 and 8192x8192, such as 640x480"))
}

/// One stage's figures.
#[derive(Serialize)]
struct Row {
    stage: &'static str,
    median_us: f64,
    p99_us: f64,
    /// Of the medians of all stages.
    share: f64,
    gmac_per_s: Option<f64>,
    /// Of what the kernel's multiply instructions could do at this core's clock.
    peak_share: Option<f64>,
    /// On the calling thread, in one frame after the first.
    bytes_allocated: u64,
}

/// The stages of a frame, in the order of the design.
const STAGES: [&str; 4] = ["image", "backbone", "energy", "verdict"];

/// Times whole frames, stage by stage.
pub fn run(args: &BenchArgs) -> Result<()> {
    let kernel = args.engine.kernel();
    let model = args.engine.open(&args.model)?;
    let mut frame = Frame::new(&model, args)?;
    for i in 0..3 {
        frame.run(i, &mut |_, work| work())?;
    }
    let mut times_us = vec![Series::default(); STAGES.len()];
    for i in 0..args.frames as usize {
        frame.run(i, &mut |stage, work| {
            let start = Instant::now();
            work();
            times_us[stage].push(start.elapsed().as_secs_f64() * 1e6);
        })?;
    }
    let mut allocated = vec![AllocationInfo::default(); STAGES.len()];
    frame.run(0, &mut |stage, work| allocated[stage] = allocation_counter::measure(work))?;

    let macs: u64 = model.backbone().nodes().iter().map(|node| node.macs).sum();
    let hertz = clock::hertz();
    let medians: Vec<f64> = times_us.iter_mut().map(median).collect();
    let total_us: f64 = medians.iter().sum();
    let rows = STAGES.iter().enumerate().map(|(stage, name)| {
        let gmac_per_s = (stage == 1 && macs > 0).then(|| macs as f64 / medians[stage] / 1e3);
        let peak = kernel.macs_per_cycle() * hertz / 1e9 * f64::from(args.engine.threads);
        Row {
            stage: name,
            median_us: medians[stage],
            p99_us: quantile(&mut times_us[stage], 0.99),
            share: medians[stage] / total_us,
            gmac_per_s,
            peak_share: gmac_per_s.map(|rate| rate / peak),
            bytes_allocated: allocated[stage].bytes_total,
        }
    });
    let rows: Vec<Row> = rows.collect();
    print(args, kernel, hertz, macs, total_us, &rows)
}

/// One frame's data, used again for the next.
struct Frame<'m> {
    model: &'m Model,
    scorer: Scorer,
    state: oddsight::backbone::State,
    pictures: Vec<Rgb>,
    prepared: Result<Rgb, ImageError>,
    features: Features,
    scores: Scores,
}

impl<'m> Frame<'m> {
    fn new(model: &'m Model, args: &BenchArgs) -> Result<Frame<'m>> {
        let threads = args.engine.threads()?;
        Ok(Frame {
            model,
            scorer: model.scorer()?,
            state: model.backbone().state_on(&model.blob().normalise, threads)?,
            pictures: (1..=4).map(|seed| self_test::picture(seed, args.picture)).collect(),
            prepared: Ok(Rgb { width: 0, height: 0, pixels: Vec::new() }),
            features: Features::default(),
            scores: Scores::default(),
        })
    }

    /// Runs picture `i`; `around` is given each stage and must call its work once.
    fn run(&mut self, i: usize, around: &mut dyn FnMut(usize, &mut dyn FnMut())) -> Result<()> {
        let picture = &self.pictures[i % self.pictures.len()];
        let how = &self.model.blob().preprocess;
        around(0, &mut || self.prepared = prepare(picture, how));
        let prepared = self.prepared.as_ref().map_err(|e| anyhow!("{e}"))?;
        let mut done = Ok(());
        around(1, &mut || done = self.state.run_into(prepared, &mut self.features));
        done?;
        around(2, &mut || self.scorer.energies(&self.features, &mut self.scores));
        around(3, &mut || drop(self.scorer.verdict(&self.scores)));
        Ok(())
    }
}

fn print(
    args: &BenchArgs,
    kernel: Kernel,
    hertz: f64,
    macs: u64,
    total_us: f64,
    rows: &[Row],
) -> Result<()> {
    let mut out = stdout().lock();
    if args.json {
        let report = json!({
            "arch": std::env::consts::ARCH,
            "kernel": kernel.name(),
            "threads": args.engine.threads,
            "frames": args.frames,
            "clock_ghz": hertz / 1e9,
            "macs": macs,
            "frame_us": total_us,
            "stages": rows,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    let [width, height] = args.picture;
    writeln!(
        out,
        "{} frames of {width}x{height}, kernel {kernel}, {} thread(s), {:.2} GHz, {:.1} MMAC a frame\n",
        args.frames,
        args.engine.threads,
        hertz / 1e9,
        macs as f64 / 1e6
    )?;
    writeln!(
        out,
        "{:10}{:>12}{:>12}{:>8}{:>9}{:>7}{:>12}",
        "stage", "median us", "p99 us", "share", "GMAC/s", "peak", "allocated B"
    )?;
    for row in rows {
        let [rate, peak] = rate_cells(row.gmac_per_s, row.peak_share);
        writeln!(
            out,
            "{:10}{:>12.1}{:>12.1}{:>7.1}%{rate:>9}{peak:>7}{:>12}",
            row.stage,
            row.median_us,
            row.p99_us,
            row.share * 100.0,
            row.bytes_allocated
        )?;
    }
    writeln!(out, "{:10}{total_us:>12.1}", "frame")?;
    Ok(())
}
