//! `oddsight doctor`: what this machine runs a model with, node by node.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use oddsight::backbone::{Features, NodeListing};
use oddsight::kernel::Kernel;
use oddsight::model::{Model, self_test};
use serde::Serialize;
use serde_json::json;

use super::timing::{Series, median, rate_cells};
use super::{EngineArgs, clock};

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
    let peak = kernel.macs_per_cycle() * clock::hertz() * f64::from(args.engine.threads);
    let kinds = kinds(nodes, &times_ms, peak);
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
            "peak_gmac_per_s": peak / 1e9,
            "kinds": kinds,
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
    kinds_table(&mut out, &kinds, peak)
}

/// All nodes that are computed in one way.
#[derive(Serialize)]
struct Kind {
    op: String,
    how: String,
    nodes: usize,
    macs: u64,
    ms: f64,
    share: f64,
    gmac_per_s: Option<f64>,
    /// Of what the kernel's multiply instructions could do at this core's clock.
    peak_share: Option<f64>,
}

/// In the order of their first nodes; `peak` in multiply-accumulates a second.
fn kinds(nodes: &[NodeListing], times_ms: &[f64], peak: f64) -> Vec<Kind> {
    let total_ms: f64 = times_ms.iter().sum();
    let mut kinds: Vec<Kind> = Vec::new();
    for (node, ms) in nodes.iter().zip(times_ms) {
        let known = kinds.iter().position(|kind| (&kind.op, &kind.how) == (&node.op, &node.how));
        let place = known.unwrap_or_else(|| {
            let (op, how) = (node.op.clone(), node.how.clone());
            let (ms, share) = (0.0, 0.0);
            let (gmac_per_s, peak_share) = (None, None);
            kinds.push(Kind { op, how, nodes: 0, macs: 0, ms, share, gmac_per_s, peak_share });
            kinds.len() - 1
        });
        let kind = &mut kinds[place];
        kind.nodes += 1;
        kind.macs += node.macs;
        kind.ms += ms;
        kind.share = kind.ms / total_ms;
    }
    for kind in kinds.iter_mut().filter(|kind| kind.macs > 0) {
        let rate = kind.macs as f64 / (kind.ms / 1e3);
        (kind.gmac_per_s, kind.peak_share) = (Some(rate / 1e9), Some(rate / peak));
    }
    kinds
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

fn kinds_table(out: &mut impl std::io::Write, kinds: &[Kind], peak: f64) -> Result<()> {
    let name = |kind: &Kind| format!("{} {}", kind.op, kind.how);
    let width = kinds.iter().map(|kind| name(kind).chars().count()).max().unwrap_or(0);
    writeln!(out, "\nof a peak of {:.1} GMAC/s:", peak / 1e9)?;
    writeln!(
        out,
        "{:width$}  {:>5}  {:>8}  {:>8}  {:>6}  {:>6}  {:>5}",
        "kind", "nodes", "MMAC", "ms", "share", "GMAC/s", "peak"
    )?;
    for kind in kinds {
        let macs =
            if kind.macs > 0 { format!("{:.2}", kind.macs as f64 / 1e6) } else { String::new() };
        let [rate, peak] = rate_cells(kind.gmac_per_s, kind.peak_share);
        let line = format!(
            "{:width$}  {:>5}  {macs:>8}  {:>8.4}  {:>5.1}%  {rate:>6}  {peak:>5}",
            name(kind),
            kind.nodes,
            kind.ms,
            kind.share * 100.0
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
