//! Post-training quantisation: from a float ResNet-like ONNX network and pictures to an int8 one.
//!
//! The result is a standard QDQ network in the manner of onnxruntime's `quantize_static`: float
//! operators between QuantizeLinear and DequantizeLinear nodes. Weights are int8 per output channel,
//! symmetric in −127…127; biases are int32 of scale `input scale · weight scale`; activations are u8
//! with one scale and zero point per tensor, from their values on calibration pictures.
//!
//! Weights use all 8 bits. onnxruntime's x86 kernels for processors without VNNI add pairs of
//! u8 · int8 products in 16 bits that saturate, so there it names some pictures otherwise than the
//! network says; with its graph optimisation off it does not.

use std::num::NonZeroUsize;

use oddsight::backbone::Normalise;
use oddsight::image::Rgb;
use prost::Message as _;
use serde::Serialize;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto};

use crate::progress::Progress;

mod batch_norm;
mod equalize;
mod error;
mod graph;
mod observe;
mod range;
mod scheme;
mod weights;
mod write;

pub use error::{QuantizeError, QuantizeErrorKind};
pub use range::RangeRule;

use graph::label;
use observe::{Activation, Observer};
use range::{Affine, Histogram};
use scheme::Scheme;

/// The first operator set whose DequantizeLinear has an axis.
const OPSET: i64 = 13;
/// The oldest operator set that is raised to [`OPSET`], and the operators that mean the same in both.
const OLDEST_OPSET: i64 = 11;
const UNCHANGED: [&str; 17] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Transpose",
];
/// ONNX IR version that goes with [`OPSET`].
const IR_VERSION: i64 = 7;

/// How to quantise.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub range: RangeRule,
    /// Equalise the weight ranges of consecutive convolutions first.
    pub equalize: bool,
    /// Let biases take up the mean error that rounding the weights makes.
    pub bias_correction: bool,
    pub threads: NonZeroUsize,
}

/// How pictures enter the network: their width and height, and the normalisation of their pixels.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub crop: [u32; 2],
    pub normalise: Normalise,
}

/// A quantised network.
pub struct Quantized {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Convolutions and matrix products with int8 weights.
    pub layers: usize,
    /// Activations with u8 levels.
    pub activations: usize,
    /// `name (operator): why` of the nodes that stay float.
    pub kept_float: Vec<String>,
    /// Pairs of convolutions whose ranges were equalised; 0 without [`Options::equalize`].
    pub equalized: usize,
    float: ModelProto,
    quantized: ModelProto,
    pairs: Vec<Pair>,
}

/// One activation in the float and in the quantised network.
struct Pair {
    node: String,
    float: String,
    dequantized: String,
}

/// How much of an activation the quantisation loses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// The node that computes it.
    pub node: String,
    /// `10 log₁₀ (Σ float² / Σ (float − int8)²)`; errors of earlier layers are in it. Infinite
    /// without any error (in JSON, null).
    pub sqnr_db: f64,
}

/// Quantises a float network, calibrated on pictures of exactly its input size.
///
/// The result depends on the network, the pictures and the options, not on the threads.
pub fn quantize(
    onnx: &[u8],
    entry: &Entry,
    pictures: &[&Rgb],
    options: Options,
) -> Result<Quantized, QuantizeError> {
    if pictures.is_empty() {
        let why = "no picture to calibrate with; give a source of pictures";
        return Err(QuantizeError::new(QuantizeErrorKind::NoPictures, why.into()));
    }
    let (mut float, mut graph) = parse(onnx)?;
    check_nodes(&graph)?;
    raise_opset(&mut float, &graph)?;
    batch_norm::fold(&mut graph)?;
    let equalized = if options.equalize { equalize::equalize(&mut graph) } else { 0 };
    let scheme = Scheme::of(&graph);
    float.graph = Some(graph.clone());
    let mut calibration = calibrate(&float, &scheme, entry, pictures, options.threads)?;
    if !options.bias_correction {
        calibration.means.iter_mut().flatten().for_each(|mean| *mean = 0.0);
    }
    let affine = levels(&scheme, &calibration.histograms, options.range);
    let dequantized = write::rewrite(&mut graph, &scheme, &affine, &calibration.means);
    let quantized = ModelProto {
        ir_version: float.ir_version.max(IR_VERSION),
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        ..float.clone()
    };
    let pairs = scheme.sites.iter().zip(dequantized).filter_map(|(site, dequantized)| {
        let (node, float) = (site.node.clone(), site.tensor.clone());
        // Levels that are another activation's lose nothing of their own.
        Some(Pair { node, float, dequantized: dequantized.filter(|_| site.inherits.is_none())? })
    });
    let pairs = pairs.collect();
    Ok(Quantized {
        onnx: quantized.encode_to_vec(),
        layers: scheme.layers.len(),
        activations: scheme.sites.len(),
        kept_float: scheme.kept_float,
        equalized,
        float,
        quantized,
        pairs,
    })
}

impl Quantized {
    /// Compares every activation with the float network's on pictures; the greatest loss first.
    pub fn losses(
        &self,
        entry: &Entry,
        pictures: &[&Rgb],
        threads: NonZeroUsize,
    ) -> Result<Vec<Loss>, QuantizeError> {
        let observer =
            |proto, names: Vec<&str>| Observer::new(proto, &names, entry.crop, &entry.normalise);
        let float = observer(&self.float, self.pairs.iter().map(|p| p.float.as_str()).collect())?;
        let int8 =
            observer(&self.quantized, self.pairs.iter().map(|p| p.dequantized.as_str()).collect())?;
        let mut power = vec![(0.0, 0.0); self.pairs.len()];
        let mut progress = Progress::new("comparing layers", Some(2 * pictures.len() as u64));
        // One picture per thread at a time: all activations of many would not fit into memory.
        for few in pictures.chunks(threads.get()) {
            let keep = |(): &mut (), activations: Vec<Activation>| Ok(activations);
            let (_, wanted) = float.each(few, threads, &mut progress, keep)?;
            let (_, found) = int8.each(few, threads, &mut progress, keep)?;
            for (wanted, found) in wanted.iter().zip(&found) {
                for ((wanted, found), (signal, noise)) in wanted.iter().zip(found).zip(&mut power) {
                    for (&w, &f) in wanted.values.iter().zip(&found.values) {
                        *signal += f64::from(w).powi(2);
                        *noise += (f64::from(w) - f64::from(f)).powi(2);
                    }
                }
            }
        }
        progress.finish();
        let losses = self.pairs.iter().zip(power).map(|(pair, (signal, noise))| {
            let sqnr_db = if noise > 0.0 { 10.0 * (signal / noise).log10() } else { f64::INFINITY };
            Loss { node: pair.node.clone(), sqnr_db }
        });
        let mut losses: Vec<Loss> = losses.collect();
        losses.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        Ok(losses)
    }
}

fn parse(onnx: &[u8]) -> Result<(ModelProto, GraphProto), QuantizeError> {
    let refuse = |why: String| QuantizeError::new(QuantizeErrorKind::Graph, why);
    let mut proto =
        ModelProto::decode(onnx).map_err(|e| refuse(format!("not an ONNX file: {e}")))?;
    let graph = proto.graph.take().ok_or_else(|| refuse("the file holds no graph".into()))?;
    Ok((proto, graph))
}

fn check_nodes(graph: &GraphProto) -> Result<(), QuantizeError> {
    for node in &graph.node {
        let op = node.op_type.as_str();
        let is_quantized =
            op.starts_with("QLinear") || op.ends_with("QuantizeLinear") || op.ends_with("Integer");
        if is_quantized || op == "DequantizeLinear" {
            let why = format!(
                "node `{}` ({op}) is quantised already; give the float network that it was made of",
                label(node)
            );
            return Err(QuantizeError::new(QuantizeErrorKind::AlreadyQuantized, why));
        }
        if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            let why = format!(
                "node `{}` ({op}) holds a graph of its own; export the network without control flow",
                label(node)
            );
            return Err(QuantizeError::new(QuantizeErrorKind::Graph, why));
        }
    }
    Ok(())
}

fn raise_opset(proto: &mut ModelProto, graph: &GraphProto) -> Result<(), QuantizeError> {
    let is_onnx = |set: &&mut OperatorSetIdProto| matches!(set.domain.as_str(), "" | "ai.onnx");
    let set = proto.opset_import.iter_mut().find(is_onnx);
    let version = set.as_ref().map_or(1, |set| set.version);
    if version >= OPSET {
        return Ok(());
    }
    let changed = graph.node.iter().find(|node| !UNCHANGED.contains(&node.op_type.as_str()));
    let (true, None, Some(set)) = (version >= OLDEST_OPSET, changed, set) else {
        let node = changed.or(graph.node.first());
        let why = format!(
            "operator set {version} has no per-channel quantisation, and node `{}` may mean \
             something else in a newer one; export the network with operator set {OPSET} or newer",
            node.map_or("(none)", label)
        );
        return Err(QuantizeError::new(QuantizeErrorKind::Graph, why));
    };
    set.version = OPSET;
    Ok(())
}

struct Calibration {
    /// One per site.
    histograms: Vec<Histogram>,
    /// One per site: the mean of each channel.
    means: Vec<Vec<f64>>,
}

fn calibrate(
    float: &ModelProto,
    scheme: &Scheme,
    entry: &Entry,
    pictures: &[&Rgb],
    threads: NonZeroUsize,
) -> Result<Calibration, QuantizeError> {
    let names: Vec<&str> = scheme.sites.iter().map(|site| site.tensor.as_str()).collect();
    let observer = Observer::new(float, &names, entry.crop, &entry.normalise)?;
    let mut progress = Progress::new("calibrating", Some(pictures.len() as u64));
    let see = |histograms: &mut Vec<Histogram>, activations: Vec<Activation>| {
        histograms.resize_with(names.len(), Histogram::default);
        for ((activation, histogram), site) in activations.iter().zip(histograms).zip(&scheme.sites)
        {
            if !histogram.add(&activation.values) {
                let why = format!(
                    "node `{}` gives NaN or infinity on a calibration picture; check the weights \
                     and the normalisation (--mean, --std)",
                    site.node
                );
                return Err(QuantizeError::new(QuantizeErrorKind::NonFinite, why));
            }
        }
        Ok(activations.iter().map(channel_means).collect::<Vec<_>>())
    };
    let (sums, seen) = observer.each(pictures, threads, &mut progress, see)?;
    progress.finish();
    let mut sums = sums.into_iter().filter(|histograms| !histograms.is_empty());
    let mut histograms = sums.next().unwrap_or_default();
    for more in sums {
        histograms.iter_mut().zip(more).for_each(|(sum, more)| sum.merge(more));
    }
    let mut seen = seen.into_iter();
    let mut means = seen.next().unwrap_or_default();
    for more in seen {
        for (sum, mean) in means.iter_mut().flatten().zip(more.iter().flatten()) {
            *sum += mean;
        }
    }
    means.iter_mut().flatten().for_each(|sum| *sum /= pictures.len() as f64);
    Ok(Calibration { histograms, means })
}

/// Mean of each index of the second axis, N×C×….
fn channel_means(activation: &Activation) -> Vec<f64> {
    let channels = activation.shape.get(1).copied().unwrap_or(1).max(1);
    let area = (activation.values.len() / channels).max(1);
    let sum = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>();
    activation.values.chunks_exact(area).map(|values| sum(values) / area as f64).collect()
}

fn levels(scheme: &Scheme, histograms: &[Histogram], rule: RangeRule) -> Vec<Affine> {
    let mut affine: Vec<Affine> = Vec::with_capacity(histograms.len());
    for (site, histogram) in scheme.sites.iter().zip(histograms) {
        affine.push(match site.inherits {
            Some(from) => affine[from],
            None => histogram.affine(rule),
        });
    }
    affine
}
