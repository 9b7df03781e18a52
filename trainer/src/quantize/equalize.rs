//! Cross-layer equalisation of weight ranges.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::graph::{Names, consumers, float_tensor, label};
use super::scheme::{Bias, Layer, Scheme};
use super::weights::Layout;

/// Sweeps at most. One settles lone pairs; the two pairs of a bottleneck take a dozen.
const SWEEPS: usize = 100;
/// No sweep follows one that changes no channel by more than this share.
const SETTLED: f64 = 1e-6;

/// Equalises every two convolutions with a ReLU or nothing between them and no other reader, and
/// returns how many pairs there are.
///
/// Channel i between them is divided by `sᵢ = (1 / r₂ᵢ) √(r₁ᵢ r₂ᵢ)`, where r₁ᵢ is the largest
/// |weight| that makes it and r₂ᵢ the largest that reads it; both are `√(r₁ᵢ r₂ᵢ)` afterwards. ReLU
/// lets positive factors through, so the network computes the same (Nagel et al., Data-Free
/// Quantization Through Weight Equalization and Bias Correction, 2019, section 4.1, eq. 11).
pub(super) fn equalize(graph: &mut GraphProto) -> usize {
    let mut layers = Scheme::of(graph).layers;
    let pairs = pairs(graph, &layers);
    for _ in 0..SWEEPS {
        let mut change = 0.0f64;
        for &[first, second] in &pairs {
            let factors = factors(&layers[first], &layers[second]);
            scale_outputs(&mut layers[first], &factors);
            scale_inputs(&mut layers[second], &factors);
            change = factors.iter().fold(change, |most, s| most.max((s - 1.0).abs()));
        }
        if change <= SETTLED {
            break;
        }
    }
    let mut names = Names::of(graph);
    for (index, layer) in layers.iter().enumerate() {
        if pairs.iter().flatten().any(|of_pair| *of_pair == index) {
            store(graph, &mut names, layer);
        }
    }
    pairs.len()
}

/// Indices of layers, the one that makes the channels first.
fn pairs(graph: &GraphProto, layers: &[Layer]) -> Vec<[usize; 2]> {
    let consumers = consumers(graph);
    let producer: HashMap<&str, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |output| (output.as_str(), index)))
        .collect();
    let is_output = |name: &str| graph.output.iter().any(|output| output.name == name);
    // The node that makes a tensor which one node alone reads.
    let maker = |tensor: &str| -> Option<usize> {
        let alone = consumers.get(tensor).is_some_and(|by| by.len() == 1) && !is_output(tensor);
        producer.get(tensor).copied().filter(|_| alone)
    };
    let is = |node: usize, op: &str| graph.node[node].op_type == op;
    let before = |second: &Layer| -> Option<usize> {
        let maker_of_input = |node: &NodeProto| maker(node.input.first()?);
        let node = maker_of_input(&graph.node[second.node])?;
        let conv = if is(node, "Relu") { maker_of_input(&graph.node[node])? } else { node };
        layers.iter().position(|first| first.node == conv)
    };
    let found = layers.iter().enumerate().filter_map(|(index, second)| {
        let first = before(second)?;
        let are_convs = is(layers[first].node, "Conv") && is(second.node, "Conv");
        let inputs = Layout::of(second).inputs();
        (are_convs && Layout::of(&layers[first]).channels == inputs).then_some([first, index])
    });
    found.collect()
}

/// s of each channel; 1 for one that nothing makes or reads.
fn factors(first: &Layer, second: &Layer) -> Vec<f64> {
    let (made, read) = (output_ranges(first), input_ranges(second));
    let factor = |(&r1, &r2): (&f32, &f32)| {
        let (r1, r2) = (f64::from(r1), f64::from(r2));
        let s = (r1 * r2).sqrt() / r2;
        if s.is_normal() { s } else { 1.0 }
    };
    made.iter().zip(&read).map(factor).collect()
}

/// The largest |weight| of each output channel.
fn output_ranges(layer: &Layer) -> Vec<f32> {
    let at = Layout::of(layer);
    let mut largest = vec![0.0f32; at.channels];
    for (i, w) in layer.weight.values.iter().enumerate() {
        let channel = at.channel(i);
        largest[channel] = largest[channel].max(w.abs());
    }
    largest
}

/// The largest |weight| of each input channel.
fn input_ranges(layer: &Layer) -> Vec<f32> {
    let at = Layout::of(layer);
    let mut largest = vec![0.0f32; at.inputs()];
    for (i, w) in layer.weight.values.iter().enumerate() {
        let channel = at.input(i, at.channel(i));
        largest[channel] = largest[channel].max(w.abs());
    }
    largest
}

fn scale_outputs(layer: &mut Layer, factors: &[f64]) {
    let at = Layout::of(layer);
    for (i, w) in layer.weight.values.iter_mut().enumerate() {
        *w = (f64::from(*w) / factors[at.channel(i)]) as f32;
    }
    if let Bias::Values(values) = &mut layer.bias {
        values.iter_mut().zip(factors).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
    }
}

fn scale_inputs(layer: &mut Layer, factors: &[f64]) {
    let at = Layout::of(layer);
    for (i, w) in layer.weight.values.iter_mut().enumerate() {
        *w = (f64::from(*w) * factors[at.input(i, at.channel(i))]) as f32;
    }
}

/// Gives a node its layer's weights under names of their own: another node may share the old ones.
fn store(graph: &mut GraphProto, names: &mut Names, layer: &Layer) {
    let prefix = label(&graph.node[layer.node]).to_string();
    let mut add = |what: &str, shape: &[usize], values: &[f32]| {
        let name = names.fresh(format!("{prefix}_equalized_{what}"));
        graph.initializer.push(float_tensor(&name, shape, values));
        name
    };
    let mut constants = vec![add("weight", &layer.weight.shape, &layer.weight.values)];
    if let Bias::Values(bias) = &layer.bias {
        constants.push(add("bias", &[bias.len()], bias));
    }
    let input = &mut graph.node[layer.node].input;
    input.truncate(1);
    input.extend(constants);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use oddsight::backbone::Normalise;
    use oddsight::model::self_test::picture;
    use oddsight::random::Random;
    use tract_onnx::pb::{
        AttributeProto, ModelProto, OperatorSetIdProto, TypeProto, ValueInfoProto,
        attribute_proto::AttributeType, tensor_proto::DataType, type_proto,
    };

    use super::super::observe::Observer;
    use super::*;
    use crate::progress::Progress;

    const SIDE: u32 = 6;

    /// Conv → ReLU → Conv in three groups → Conv, like a bottleneck, with channels whose ranges lie
    /// up to 1000 times apart.
    fn network() -> GraphProto {
        let mut graph = GraphProto::default();
        let mut random = Random::new(11);
        let shapes = [("a", [6, 3, 3, 3], 1), ("b", [9, 2, 1, 1], 3), ("c", [4, 9, 3, 3], 1)];
        for (name, shape, groups) in shapes {
            let per_channel = shape[1..].iter().product::<usize>();
            let values: Vec<f32> = (0..shape[0] * per_channel)
                .map(|i| random.range(-1.0, 1.0) as f32 * 10f32.powi((i / per_channel % 4) as i32))
                .collect();
            let bias: Vec<f32> = (0..shape[0]).map(|_| random.range(-1.0, 1.0) as f32).collect();
            graph.initializer.push(float_tensor(&format!("{name}w"), &shape, &values));
            graph.initializer.push(float_tensor(&format!("{name}b"), &[shape[0]], &bias));
            let input = if name == "a" { "image" } else { "r" };
            let input = if name == "c" { "b" } else { input };
            graph.node.push(NodeProto {
                op_type: "Conv".into(),
                input: [input.into(), format!("{name}w"), format!("{name}b")].into(),
                output: vec![name.into()],
                attribute: vec![AttributeProto {
                    name: "group".into(),
                    r#type: AttributeType::Int as i32,
                    i: groups,
                    ..Default::default()
                }],
                ..Default::default()
            });
        }
        graph.node.insert(1, unary("Relu", "a", "r"));
        let float = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
        let float =
            TypeProto { value: Some(type_proto::Value::TensorType(float)), ..Default::default() };
        graph.input.push(ValueInfoProto {
            name: "image".into(),
            r#type: Some(float),
            ..Default::default()
        });
        graph.output.push(ValueInfoProto { name: "c".into(), ..Default::default() });
        graph
    }

    fn unary(op: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: vec![input.into()],
            output: vec![output.into()],
            ..Default::default()
        }
    }

    fn output(graph: &GraphProto) -> Vec<f32> {
        let proto = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(graph.clone()),
            ..Default::default()
        };
        let observer = Observer::new(&proto, &["c"], [SIDE; 2], &Normalise::CIFAR10).unwrap();
        let picture = picture(1, [SIDE; 2]);
        let see = |(): &mut (), mut found: Vec<super::super::observe::Activation>| {
            Ok(found.remove(0).values)
        };
        let mut progress = Progress::new("test", Some(1));
        let (_, mut seen) =
            observer.each(&[&picture], NonZeroUsize::MIN, &mut progress, see).unwrap();
        seen.remove(0)
    }

    #[test]
    fn the_network_computes_the_same_and_its_ranges_meet() {
        let mut graph = network();
        let wanted = output(&graph);
        let apart = Scheme::of(&graph).layers;
        assert_ne!(output_ranges(&apart[0]), input_ranges(&apart[1]));
        assert_eq!(equalize(&mut graph), 2);
        let found = output(&graph);
        let largest = wanted.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert!(largest > 1.0 && found.len() == wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() <= 1e-4 * largest, "{found} {wanted}");
        }
        let layers = Scheme::of(&graph).layers;
        for pair in layers.windows(2) {
            for (made, read) in output_ranges(&pair[0]).iter().zip(input_ranges(&pair[1])) {
                assert!((made - read).abs() <= 1e-3 * made, "{made} {read}");
            }
        }
    }

    /// A second reader, a reader outside of the network, or a function that is not homogeneous.
    #[test]
    fn a_channel_that_others_see_keeps_its_range() {
        let mut read_twice = network();
        read_twice.node.push(unary("Relu", "r", "other"));
        let mut shown = network();
        shown.output.push(ValueInfoProto { name: "a".into(), ..Default::default() });
        let mut bounded = network();
        bounded.node[1].op_type = "Clip".into();
        for (mut graph, name) in [(read_twice, "r"), (shown, "a"), (bounded, "Clip")] {
            let before = Scheme::of(&graph).layers[0].weight.values.clone();
            assert_eq!(equalize(&mut graph), 1, "{name}");
            assert_eq!(Scheme::of(&graph).layers[0].weight.values, before, "{name}");
        }
    }

    #[test]
    fn a_dead_channel_stays_dead() {
        let mut graph = network();
        let mut values = vec![0.5; 6 * 27];
        values[..27].fill(0.0);
        graph.initializer[0] = float_tensor("aw", &[6, 3, 3, 3], &values);
        equalize(&mut graph);
        let first = &Scheme::of(&graph).layers[0];
        assert_eq!(first.weight.values[..27], [0.0; 27]);
        assert!(first.weight.values.iter().all(|w| w.is_finite()));
    }
}
