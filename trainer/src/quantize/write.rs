//! The quantised graph: QuantizeLinear and DequantizeLinear around float operators (QDQ).

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::graph::{Names, axis, drop_unused, float_tensor, label, tensor};
use super::range::Affine;
use super::scheme::{Layer, Scheme};
use super::weights::{Integers, integers};

/// Rewrites a graph. `affine` has the levels of each site, `mean_input` its channels' means.
/// Returns the dequantised tensor of each site that is read.
pub(super) fn rewrite(
    graph: &mut GraphProto,
    scheme: &Scheme,
    affine: &[Affine],
    mean_input: &[Vec<f64>],
) -> Vec<Option<String>> {
    let nodes = std::mem::take(&mut graph.node);
    let mut writer = Writer {
        names: Names::of(&GraphProto { node: nodes.clone(), ..graph.clone() }),
        graph,
        dequantized: vec![None; scheme.sites.len()],
    };
    let is_read = |name: &str| nodes.iter().any(|node| node.input.iter().any(|i| i == name));
    let layers: HashMap<usize, &Layer> = scheme.layers.iter().map(|l| (l.node, l)).collect();
    for (site, at) in scheme.sites.iter().enumerate() {
        let is_computed = nodes.iter().any(|node| node.output.contains(&at.tensor));
        if !is_computed {
            writer.activation(site, &at.tensor, affine[site]);
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let mut node = node.clone();
        if let Some(layer) = layers.get(&index) {
            let found = integers(layer, affine[layer.site], &mean_input[layer.site]);
            writer.layer(&mut node, layer, &found);
        }
        for input in &mut node.input {
            if let Some(name) = scheme.site(input).and_then(|s| writer.dequantized[s].clone()) {
                *input = name;
            }
        }
        let outputs = node.output.clone();
        writer.graph.node.push(node);
        for output in outputs.iter().filter(|output| is_read(output)) {
            if let Some(site) = scheme.site(output) {
                writer.activation(site, output, affine[site]);
            }
        }
    }
    let Writer { graph, dequantized, .. } = writer;
    // Their float tensors are gone or renamed, and a reader infers them again.
    graph.value_info.clear();
    let weights: Vec<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    drop_unused(graph);
    let is_kept = |name: &String| graph.initializer.iter().any(|t| t.name == *name);
    graph.input.retain(|input| !weights.contains(&input.name) || is_kept(&input.name));
    dequantized
}

struct Writer<'a> {
    graph: &'a mut GraphProto,
    names: Names,
    dequantized: Vec<Option<String>>,
}

impl Writer<'_> {
    fn activation(&mut self, site: usize, name: &str, affine: Affine) {
        let scale = self.names.fresh(format!("{name}_scale"));
        let zero_point = self.names.fresh(format!("{name}_zero_point"));
        self.graph.initializer.push(float_tensor(&scale, &[], &[affine.scale]));
        let zero = std::iter::once(affine.zero_point);
        self.graph.initializer.push(tensor(&zero_point, &[], DataType::Uint8, zero));
        let quantized = self.linear("QuantizeLinear", name, [name, &scale, &zero_point], None);
        let inputs = [quantized.as_str(), &scale, &zero_point];
        self.dequantized[site] = Some(self.linear("DequantizeLinear", name, inputs, None));
    }

    fn layer(&mut self, node: &mut NodeProto, layer: &Layer, found: &Integers) {
        let prefix = label(node).to_string();
        let bytes = found.weight.iter().map(|&level| level as u8);
        let weight = (&layer.weight.shape[..], DataType::Int8, bytes.collect());
        node.input[1] =
            self.constant(&format!("{prefix}_weight"), weight, &found.weight_scale, layer.axis);
        if let Some(bias) = &found.bias {
            let bytes = bias.levels.iter().flat_map(|level| level.to_le_bytes());
            let levels = (&[bias.levels.len()][..], DataType::Int32, bytes.collect());
            node.input.truncate(2);
            node.input.push(self.constant(&format!("{prefix}_bias"), levels, &bias.scale, 0));
        }
    }

    /// A dequantised constant with one scale per index of `along`, and zero points of 0.
    fn constant(
        &mut self,
        name: &str,
        (shape, kind, bytes): (&[usize], DataType, Vec<u8>),
        scales: &[f32],
        along: usize,
    ) -> String {
        let [levels, scale, zero_point] =
            ["quantized", "scale", "zero_point"].map(|s| self.names.fresh(format!("{name}_{s}")));
        let width = if kind == DataType::Int32 { 4 } else { 1 };
        let zeros = std::iter::repeat_n(0, width * scales.len());
        self.graph.initializer.push(tensor(&levels, shape, kind, bytes.into_iter()));
        self.graph.initializer.push(float_tensor(&scale, &[scales.len()], scales));
        self.graph.initializer.push(tensor(&zero_point, &[scales.len()], kind, zeros));
        self.linear("DequantizeLinear", name, [&levels, &scale, &zero_point], Some(along))
    }

    fn linear(&mut self, op: &str, name: &str, input: [&str; 3], along: Option<usize>) -> String {
        let output = self.names.fresh(format!("{name}_{op}_Output"));
        self.graph.node.push(NodeProto {
            name: self.names.fresh(format!("{name}_{op}")),
            op_type: op.into(),
            input: input.map(String::from).into(),
            output: vec![output.clone()],
            attribute: along.map(axis).into_iter().collect(),
            ..Default::default()
        });
        output
    }
}
