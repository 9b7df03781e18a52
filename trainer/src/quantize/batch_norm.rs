//! Folding batch normalisation into the convolution before it.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::error::{QuantizeError, QuantizeErrorKind};
use super::graph::{
    Floats, Names, attribute_float, attribute_int, constant, consumers, float_tensor, label,
};

/// Epsilon where a BatchNormalization does not give one (ONNX).
const EPSILON: f32 = 1e-5;

/// Folds every BatchNormalization that alone reads a convolution with constant weights:
/// `γ (W∗x + b − μ) / √(σ² + ε) + β` is a convolution too.
pub(super) fn fold(graph: &mut GraphProto) -> Result<(), QuantizeError> {
    let mut names = Names::of(graph);
    while let Some((conv, norm)) = next_pair(graph) {
        let (weight, bias) = folded(graph, &graph.node[conv], &graph.node[norm])?;
        let prefix = label(&graph.node[conv]).to_string();
        let weight_name = names.fresh(format!("{prefix}_folded_weight"));
        let bias_name = names.fresh(format!("{prefix}_folded_bias"));
        graph.initializer.push(float_tensor(&weight_name, &weight.shape, &weight.values));
        graph.initializer.push(float_tensor(&bias_name, &[bias.len()], &bias));
        let output = graph.node[norm].output[0].clone();
        let node = &mut graph.node[conv];
        node.input = vec![node.input[0].clone(), weight_name, bias_name];
        node.output = vec![output];
        graph.node.remove(norm);
    }
    Ok(())
}

fn next_pair(graph: &GraphProto) -> Option<(usize, usize)> {
    let consumers = consumers(graph);
    let is_output = |name: &str| graph.output.iter().any(|output| output.name == name);
    graph.node.iter().enumerate().find_map(|(norm, node)| {
        let is_inference = attribute_int(node, "training_mode").unwrap_or(0) == 0;
        let is_whole = node.input.len() == 5 && !node.output.is_empty();
        if node.op_type != "BatchNormalization" || !is_whole || !is_inference {
            return None;
        }
        let input = node.input[0].as_str();
        let is_conv = |n: &NodeProto| {
            n.op_type == "Conv" && n.input.len() >= 2 && n.output.iter().any(|o| o == input)
        };
        let conv = graph.node.iter().position(is_conv)?;
        let alone = consumers[input].len() == 1 && !is_output(input);
        let constants = node.input[1..].iter().chain(graph.node[conv].input.get(1..)?);
        let is_constant = |name: &String| name.is_empty() || constant(graph, name).is_some();
        (alone && constants.into_iter().all(is_constant)).then_some((conv, norm))
    })
}

fn folded(
    graph: &GraphProto,
    conv: &NodeProto,
    norm: &NodeProto,
) -> Result<(Floats, Vec<f32>), QuantizeError> {
    let refuse = |what: &str| {
        let why = format!(
            "batch normalisation `{}` cannot be folded into `{}`: {what}; export the network again",
            label(norm),
            label(conv)
        );
        QuantizeError::new(QuantizeErrorKind::Weights, why)
    };
    let read = |name: &String| constant(graph, name).ok_or_else(|| refuse("a weight is missing"));
    let mut weight = read(&conv.input[1])?;
    let channels = weight.shape.first().copied().unwrap_or(0);
    let [gamma, beta, mean, variance] = [
        read(&norm.input[1])?,
        read(&norm.input[2])?,
        read(&norm.input[3])?,
        read(&norm.input[4])?,
    ];
    let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => read(name)?.values,
        None => vec![0.0; channels],
    };
    let lengths = [&gamma, &beta, &mean, &variance].map(|floats| floats.values.len());
    if channels == 0 || lengths != [channels; 4] || bias.len() != channels {
        return Err(refuse("its parameters are not one per channel"));
    }
    let epsilon = f64::from(attribute_float(norm, "epsilon").unwrap_or(EPSILON));
    let per_channel = weight.values.len() / channels;
    let mut folded_bias = Vec::with_capacity(channels);
    for (c, weights) in weight.values.chunks_exact_mut(per_channel.max(1)).enumerate() {
        let at = |floats: &Floats| f64::from(floats.values[c]);
        let factor = at(&gamma) / (at(&variance) + epsilon).sqrt();
        weights.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        folded_bias.push(((f64::from(bias[c]) - at(&mean)) * factor + at(&beta)) as f32);
    }
    if !folded_bias.iter().chain(&weight.values).all(|v| v.is_finite()) {
        return Err(refuse("its variance is negative or its parameters overflow"));
    }
    Ok((weight, folded_bias))
}
