//! Reading and writing pieces of an ONNX graph.

use std::collections::{HashMap, HashSet};

use tract_onnx::data_resolver;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;

/// A constant's shape and values.
#[derive(Clone, Debug)]
pub(super) struct Floats {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A node's name, or its first output where the exporter left the name out.
pub(super) fn label(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("(unnamed)", String::as_str),
        name => name,
    }
}

pub(super) fn attribute_int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

pub(super) fn attribute_float(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.f)
}

/// A float constant: an initializer or a Constant node, also through Identity.
pub(super) fn constant(graph: &GraphProto, name: &str) -> Option<Floats> {
    let mut name = name;
    for _ in 0..=graph.node.len() {
        if let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.name == name) {
            return floats(tensor);
        }
        let node = graph.node.iter().find(|node| node.output.iter().any(|o| o == name))?;
        match node.op_type.as_str() {
            "Constant" => return floats(node.attribute.iter().find_map(|a| a.t.as_ref())?),
            "Identity" => name = node.input.first()?,
            _ => return None,
        }
    }
    None
}

fn floats(tensor: &TensorProto) -> Option<Floats> {
    let value = load_tensor(&*data_resolver::default(), tensor, None).ok()?;
    if !matches!(value.datum_type(), DatumType::F32 | DatumType::F64 | DatumType::F16) {
        return None;
    }
    let value = value.cast_to::<f32>().ok()?;
    let values = value.to_plain_array_view::<f32>().ok()?.iter().copied().collect();
    Some(Floats { shape: value.shape().to_vec(), values })
}

/// Which nodes read each tensor, by index.
pub(super) fn consumers(graph: &GraphProto) -> HashMap<&str, Vec<usize>> {
    let mut of_tensor: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            of_tensor.entry(input).or_default().push(index);
        }
    }
    of_tensor
}

/// Names that no tensor of the graph has.
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    pub fn of(graph: &GraphProto) -> Names {
        let nodes = graph.node.iter();
        let of_nodes = nodes.flat_map(|n| n.output.iter().chain(&n.input).chain([&n.name]));
        let weights = graph.initializer.iter().map(|tensor| &tensor.name);
        Names { taken: of_nodes.chain(weights).cloned().collect() }
    }

    /// `wanted`, with a number behind it where it is taken.
    pub fn fresh(&mut self, wanted: String) -> String {
        let numbered = (1..).map(|i| format!("{wanted}_{i}"));
        let name =
            std::iter::once(wanted.clone()).chain(numbered).find(|n| !self.taken.contains(n));
        let name = name.expect("the numbers do not end");
        self.taken.insert(name.clone());
        name
    }
}

pub(super) fn tensor(
    name: &str,
    shape: &[usize],
    kind: DataType,
    bytes: impl Iterator<Item = u8>,
) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: kind as i32,
        raw_data: bytes.collect(),
        ..Default::default()
    }
}

pub(super) fn float_tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    tensor(name, shape, DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()))
}

pub(super) fn axis(axis: usize) -> AttributeProto {
    AttributeProto {
        name: "axis".into(),
        r#type: AttributeType::Int as i32,
        i: axis as i64,
        ..Default::default()
    }
}

/// Drops constants that no node reads.
pub(super) fn drop_unused(graph: &mut GraphProto) {
    loop {
        let outputs = graph.output.iter().map(|output| output.name.clone());
        let inputs = graph.node.iter().flat_map(|node| node.input.iter().cloned());
        let read: HashSet<String> = outputs.chain(inputs).collect();
        let before = graph.node.len();
        graph.initializer.retain(|tensor| read.contains(&tensor.name));
        graph.node.retain(|node| {
            !matches!(node.op_type.as_str(), "Constant" | "Identity")
                || node.output.iter().any(|output| read.contains(output))
        });
        if graph.node.len() == before {
            return;
        }
    }
}
