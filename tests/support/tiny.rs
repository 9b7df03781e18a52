//! A tiny residual network, written as ONNX in the spellings that exporters use.
//!
//! Each test program uses a part of it.
#![allow(dead_code)]

use oddsight::random::Random;
use prost::Message as _;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

/// Input side, pixels.
pub const SIDE: u32 = 16;
/// Channels of the last map.
pub const WIDTH: usize = 12;
/// Logits.
pub const CLASSES: usize = 4;

/// How the tail of the network is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// GlobalAveragePool, Flatten, Gemm with transB: torch's legacy exporter.
    Legacy,
    /// ReduceMean with an axes attribute, Gemm without transB.
    ReduceMeanAttribute,
    /// ReduceMean with negative axes as an input (opset 18), MatMul and Add, Softmax behind.
    ReduceMeanInput,
    /// AveragePool over the whole map, Reshape.
    AveragePool,
    /// No pool at all: the map is flattened into the final layer.
    NoPool,
}

/// The network as ONNX bytes.
pub fn onnx(tail: Tail) -> Vec<u8> {
    proto(tail).encode_to_vec()
}

/// The network as a protobuf, to be damaged by tests.
pub fn proto(tail: Tail) -> ModelProto {
    let mut net = Net::default();
    net.weight("w1", &[8, 3, 3, 3], 0.4);
    net.weight("b1", &[8], 0.1);
    net.weight("w2", &[WIDTH, 8, 3, 3], 0.25);
    net.weight("b2", &[WIDTH], 0.1);
    net.weight("w3", &[WIDTH, 8, 1, 1], 0.3);
    let pads = [("pads", &[1, 1, 1, 1][..])];
    net.node("Conv", &["image", "w1", "b1"], "c1", &pads);
    net.node("Relu", &["c1"], "r1", &[]);
    let strided = [("pads", &[1, 1, 1, 1][..]), ("strides", &[2, 2])];
    net.node("Conv", &["r1", "w2", "b2"], "c2", &strided);
    net.node("Conv", &["r1", "w3"], "c3", &[("strides", &[2, 2])]);
    net.node("Add", &["c2", "c3"], "a", &[]);
    net.node("Relu", &["a"], "map", &[]);
    net.tail(tail);
    let opset = if tail == Tail::ReduceMeanInput { 18 } else { 13 };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        graph: Some(GraphProto {
            name: "tiny".into(),
            node: net.nodes,
            initializer: net.weights,
            input: vec![value("image", &[1, 3, i64::from(SIDE), i64::from(SIDE)])],
            output: vec![value("logits", &[1, CLASSES as i64])],
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[derive(Default)]
struct Net {
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
}

impl Net {
    fn tail(&mut self, tail: Tail) {
        let features = if tail == Tail::NoPool { WIDTH * 64 } else { WIDTH };
        match tail {
            Tail::Legacy => self.node("GlobalAveragePool", &["map"], "p", &[]),
            Tail::ReduceMeanAttribute => {
                self.node("ReduceMean", &["map"], "p", &[("axes", &[2, 3])]);
            }
            Tail::ReduceMeanInput => {
                self.integers("axes", &[-1, -2]);
                self.node("ReduceMean", &["map", "axes"], "p", &[]);
            }
            Tail::AveragePool => {
                self.node("AveragePool", &["map"], "p", &[("kernel_shape", &[8, 8])])
            }
            Tail::NoPool => self.node("Identity", &["map"], "p", &[]),
        }
        if tail == Tail::AveragePool {
            self.integers("shape", &[1, WIDTH as i64]);
            self.node("Reshape", &["p", "shape"], "f", &[]);
        } else {
            self.node("Flatten", &["p"], "f", &[]);
        }
        self.weight("w", &[CLASSES, features], 0.5);
        self.weight("b", &[CLASSES], 0.2);
        let Some(weight) = self.weights.iter_mut().find(|w| w.name == "w") else { return };
        match tail {
            Tail::Legacy | Tail::NoPool | Tail::AveragePool => {
                self.node("Gemm", &["f", "w", "b"], "logits", &[]);
                let transposed = AttributeProto {
                    name: "transB".into(),
                    r#type: AttributeType::Int as i32,
                    i: 1,
                    ..Default::default()
                };
                self.nodes.last_mut().unwrap().attribute.push(transposed);
            }
            Tail::ReduceMeanAttribute => {
                transpose(weight, features);
                self.node("Gemm", &["f", "w", "b"], "logits", &[]);
            }
            Tail::ReduceMeanInput => {
                transpose(weight, features);
                self.node("MatMul", &["f", "w"], "product", &[]);
                self.node("Add", &["product", "b"], "sum", &[]);
                self.node("Softmax", &["sum"], "logits", &[]);
            }
        }
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) {
        let attribute = attributes.iter().map(|(name, ints)| AttributeProto {
            name: name.to_string(),
            r#type: AttributeType::Ints as i32,
            ints: ints.to_vec(),
            ..Default::default()
        });
        self.nodes.push(NodeProto {
            name: format!("/net/{output}/{op}"),
            op_type: op.into(),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![output.into()],
            attribute: attribute.collect(),
            ..Default::default()
        });
    }

    /// Weights depend on their name only, so every spelling computes the same function.
    fn weight(&mut self, name: &str, dims: &[usize], scale: f64) {
        let mut random = Random::new(name.bytes().fold(1, |seed, b| seed * 31 + u64::from(b)));
        let values = (0..dims.iter().product()).map(|_| random.range(-scale, scale) as f32);
        self.weights.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: DataType::Float as i32,
            float_data: values.collect(),
            ..Default::default()
        });
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        self.weights.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
    }
}

fn transpose(weight: &mut TensorProto, features: usize) {
    let old = std::mem::take(&mut weight.float_data);
    weight.float_data = (0..old.len()).map(|i| old[i % CLASSES * features + i / CLASSES]).collect();
    weight.dims.reverse();
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(d)),
        ..Default::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}
