//! `oddsight doctor`: what this machine runs a model with, node by node.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use oddsight::backbone::{Features, NodeListing};
use oddsight::kernel::Kernel;
use oddsight::model::{Model, self_test};
use serde_json::json;

use super::EngineArgs;
use super::timing::{Series, median};

/// Arguments of `oddsight doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// The model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// Frames that are timed.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Opens the model with all its checks, times its nodes and lists them.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let kernel = args.engine.kernel();
    let model = args.engine.open(&args.model)?;
    let nodes = model.backbone().nodes();
    let times_ms = time_nodes(&model, args, nodes.len())?;
    let kernels: Vec<&str> = Kernel::available().iter().map(|kernel| kernel.name()).collect();
    let total_ms: f64 = times_ms.iter().sum();
    let int8 = nodes.iter().filter(|node| node.kernel != "tract").count();
    let mut out = stdout().lock();
    if args.json {
        let nodes: Vec<_> = nodes
            .iter()
            .zip(&times_ms)
            .map(|(node, ms)| json!({ "node": node, "ms": ms, "share": ms / total_ms }))
            .collect();
        let report = json!({
            "arch": std::env::consts::ARCH,
            "kernels": kernels,
            "kernel": kernel.name(),
            "threads": args.engine.threads,
            "integer": model.backbone().is_integer(),
            "int8_nodes": int8,
            "backbone_ms": total_ms,
            "nodes": nodes,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(out, "machine  {}; kernels {}", std::env::consts::ARCH, kernels.join(", "))?;
    writeln!(out, "model    {}: every check and the self-test passed", args.model.display())?;
    let how = match model.backbone().is_integer() {
        true => format!("int8 from the picture to the features, kernel {kernel}"),
        false => format!("{int8} of {} nodes on int8 kernels, the rest through tract", nodes.len()),
    };
    let threads = if args.engine.threads > 1 {
        format!(" on {} threads", args.engine.threads)
    } else {
        String::new()
    };
    writeln!(out, "network  {how}; {total_ms:.3} ms a frame{threads}\n")?;
    table(&mut out, nodes, &times_ms, total_ms)?;
    Ok(())
}

/// Median milliseconds of each node.
fn time_nodes(model: &Model, args: &DoctorArgs, nodes: usize) -> Result<Vec<f64>> {
    let normalise = &model.blob().normalise;
    let mut state = model.backbone().state_on(normalise, args.engine.threads()?)?;
    let pictures: Vec<_> =
        (1..=4).map(|seed| self_test::picture(seed, model.backbone().crop())).collect();
    let mut features = Features::default();
    let mut series = vec![Series::default(); nodes];
    for frame in 0..args.frames as usize + 2 {
        let mut last = Instant::now();
        state.run_watched(&pictures[frame % pictures.len()], &mut features, &mut |node| {
            let now = Instant::now();
            if frame >= 2 {
                series[node].push((now - last).as_secs_f64() * 1e3);
            }
            last = now;
        })?;
    }
    Ok(series.iter_mut().map(median).collect())
}

fn table(
    out: &mut impl std::io::Write,
    nodes: &[NodeListing],
    times_ms: &[f64],
    total_ms: f64,
) -> Result<()> {
    let width = |text: &dyn Fn(&NodeListing) -> usize, head: usize| {
        nodes.iter().map(text).max().unwrap_or(0).max(head)
    };
    let (name, op) = (width(&|n| n.name.chars().count(), 4), width(&|n| n.op.len(), 2));
    let (kernel, shape) = (width(&|n| n.kernel.len(), 6), width(&|n| n.shape.chars().count(), 5));
    writeln!(
        out,
        "{:name$}  {:op$}  {:kernel$}  {:shape$}  {:>7}  {:>8}  {:>6}",
        "node", "op", "kernel", "shape", "MMAC", "ms", "share"
    )?;
    for (node, ms) in nodes.iter().zip(times_ms) {
        let macs =
            if node.macs > 0 { format!("{:.2}", node.macs as f64 / 1e6) } else { String::new() };
        writeln!(
            out,
            "{:name$}  {:op$}  {:kernel$}  {:shape$}  {macs:>7}  {ms:>8.4}  {:>5.1}%",
            node.name,
            node.op,
            node.kernel,
            node.shape,
            100.0 * ms / total_ms
        )?;
    }
    Ok(())
}
