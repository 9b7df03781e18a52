//! Finding the taps of a ResNet-like ONNX graph by its structure, never by its names.
//!
//! From the graph's output the walk goes back: a softmax or a quantise/dequantise pair may follow
//! the final layer; the final layer is a Gemm, or a MatMul with an Add; only reshaping nodes may
//! stand between it and a global average pool; the pool's input is the map.

use std::collections::HashMap;

use tract_onnx::data_resolver;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    tensor_proto::{self, DataType},
    tensor_shape_proto::dimension,
    type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;

use super::{BackboneErrorKind, MapShape};

/// Where the features are read, by tensor name in the ONNX file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Taps {
    /// The last feature map: input of the global average pool.
    pub map: String,
    /// Output of the final layer.
    pub logits: String,
    /// The node that computes the logits.
    pub final_node: String,
    /// The node that averages the map.
    pub pool_node: String,
    /// Kernel height and width when the pool is an AveragePool, which must then cover the map.
    pub pool_kernel: Option<[u32; 2]>,
}

impl Taps {
    /// An AveragePool is a global one only when its kernel covers the map.
    pub(super) fn check_pool(&self, map: MapShape) -> Result<(), String> {
        match self.pool_kernel {
            Some([h, w]) if (h as usize, w as usize) != (map.height, map.width) => Err(format!(
                "node `{}` pools {h}×{w} of a {}×{} map: it is not a global average pool; \
                 use the input size that the network was exported for",
                self.pool_node, map.height, map.width
            )),
            _ => Ok(()),
        }
    }
}

/// The final linear layer: `logits = weight · avg + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalLayer {
    /// Row-major, `classes` × `width`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub classes: usize,
    pub width: usize,
}

type Refusal = (BackboneErrorKind, String);

/// Shape and values of a constant.
type Floats = (Vec<usize>, Vec<f32>);

pub(super) const NO_INPUT_SIZE: &str = "the graph does not fix its input's height and width; \
     give them with --input-size";

/// Height and width of the graph's only input, as width × height, when it fixes both.
pub(super) fn input_size(proto: &ModelProto) -> Option<[u32; 2]> {
    let graph = proto.graph.as_ref()?;
    let input = inputs(graph).next()?;
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    let side = |axis: usize| match tensor.shape.as_ref()?.dim.get(axis)?.value.as_ref()? {
        dimension::Value::DimValue(side) => u32::try_from(*side).ok(),
        dimension::Value::DimParam(_) => None,
    };
    Some([side(3)?, side(2)?])
}

/// Makes the graph's outputs `[logits, map]`.
pub(super) fn select_outputs(proto: &mut ModelProto, taps: &Taps) {
    if let Some(graph) = proto.graph.as_mut() {
        graph.output = [&taps.logits, &taps.map]
            .map(|name| ValueInfoProto { name: name.clone(), ..Default::default() })
            .into();
    }
}

/// Finds the taps and reads the final layer; refuses weights that are missing, external or not
/// finite.
pub(super) fn find(proto: &ModelProto) -> Result<(Taps, FinalLayer), Refusal> {
    let graph = proto
        .graph
        .as_ref()
        .filter(|graph| !graph.node.is_empty())
        .ok_or((BackboneErrorKind::NotOnnx, "the file holds no graph".to_string()))?;
    let walk = Walk::new(graph);
    check_input(graph)?;
    check_weights(graph)?;
    walk.check_links()?;
    let (logits, final_node) = walk.final_node()?;
    let final_layer = walk.final_layer(final_node)?;
    let pool = walk.pool(final_node)?;
    let kernel = pool_kernel(pool)?;
    let map = pool.input.first().filter(|name| walk.producer.contains_key(name.as_str()));
    let map = map.ok_or_else(|| taps_refusal(format!("pool `{}` has no map", label(pool))))?;
    let taps = Taps {
        map: map.clone(),
        logits,
        final_node: label(final_node).into(),
        pool_node: label(pool).into(),
        pool_kernel: kernel,
    };
    Ok((taps, final_layer))
}

fn taps_refusal(why: String) -> Refusal {
    (BackboneErrorKind::Taps, why)
}

/// A node's name, or its first output where the exporter left the name out.
fn label(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("(unnamed)", String::as_str),
        name => name,
    }
}

fn inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    graph.input.iter().filter(|input| !graph.initializer.iter().any(|i| i.name == input.name))
}

fn check_input(graph: &GraphProto) -> Result<(), Refusal> {
    let names: Vec<&str> = inputs(graph).map(|input| input.name.as_str()).collect();
    let [name] = names[..] else {
        let why = format!("the graph has {} inputs {names:?}; one image is wanted", names.len());
        return Err((BackboneErrorKind::Graph, why));
    };
    let Some(type_proto::Value::TensorType(tensor)) =
        inputs(graph).next().and_then(|i| i.r#type.as_ref()).and_then(|t| t.value.as_ref())
    else {
        return Ok(());
    };
    let dims = tensor.shape.as_ref().map(|shape| &shape.dim[..]).unwrap_or_default();
    let channels = match dims.get(1).and_then(|dim| dim.value.as_ref()) {
        Some(dimension::Value::DimValue(channels)) => Some(*channels),
        _ => None,
    };
    if (!dims.is_empty() && dims.len() != 4) || channels.is_some_and(|channels| channels != 3) {
        let why = format!("input `{name}` is not N×3×H×W; an RGB image network is wanted");
        return Err((BackboneErrorKind::Graph, why));
    }
    Ok(())
}

fn check_weights(graph: &GraphProto) -> Result<(), Refusal> {
    let constants = graph.node.iter().filter_map(constant_tensor);
    for tensor in graph.initializer.iter().chain(constants) {
        let value = read_tensor(tensor)?;
        let range = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Int8) => -128..=127,
            Ok(DataType::Uint8) => 0..=255,
            _ => i32::MIN..=i32::MAX,
        };
        if let Some(bad) = tensor.int32_data.iter().find(|q| !range.contains(q)) {
            let why = format!("constant `{}` holds {bad}, too large for its type", tensor.name);
            return Err((BackboneErrorKind::Weights, why));
        }
        let finite = match value.datum_type() {
            DatumType::F32 | DatumType::F64 | DatumType::F16 => {
                let floats = value.cast_to::<f32>().map_err(|e| weights(tensor, e))?;
                floats
                    .to_plain_array_view::<f32>()
                    .map_err(|e| weights(tensor, e))?
                    .iter()
                    .all(|v| v.is_finite())
            }
            _ => true,
        };
        if !finite {
            let why = format!(
                "weight `{}` holds NaN or infinity: the training diverged or the file is damaged",
                tensor.name
            );
            return Err((BackboneErrorKind::Weights, why));
        }
    }
    Ok(())
}

fn weights(tensor: &TensorProto, e: impl std::fmt::Display) -> Refusal {
    (BackboneErrorKind::Weights, format!("weight `{}` cannot be read: {e:#}", tensor.name))
}

fn read_tensor(tensor: &TensorProto) -> Result<Tensor, Refusal> {
    if tensor.data_location == Some(tensor_proto::DataLocation::External as i32) {
        let why = format!(
            "weight `{}` is stored outside of the file; save the model as one file, e.g. in Python \
             `onnx.save(onnx.load(path), path, save_as_external_data=False)`",
            tensor.name
        );
        return Err((BackboneErrorKind::Weights, why));
    }
    load_tensor(&*data_resolver::default(), tensor, None).map_err(|e| weights(tensor, e))
}

fn constant_tensor(node: &NodeProto) -> Option<&TensorProto> {
    let is_constant = node.op_type == "Constant";
    is_constant.then(|| node.attribute.iter().find_map(|a| a.t.as_ref())).flatten()
}

fn attribute_int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

fn attribute_float(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.f)
}

fn pool_kernel(pool: &NodeProto) -> Result<Option<[u32; 2]>, Refusal> {
    if pool.op_type != "AveragePool" {
        return Ok(None);
    }
    let kernel = pool.attribute.iter().find(|a| a.name == "kernel_shape").map(|a| &a.ints[..]);
    match kernel {
        Some(&[h, w]) if h > 0 && w > 0 => Ok(Some([h as u32, w as u32])),
        _ => Err(taps_refusal(format!("AveragePool `{}` has no 2-D kernel", label(pool)))),
    }
}

struct Walk<'a> {
    graph: &'a GraphProto,
    producer: HashMap<&'a str, &'a NodeProto>,
    constant: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a GraphProto) -> Walk<'a> {
        let producer = graph
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
            .collect();
        let initializers = graph.initializer.iter().map(|t| (t.name.as_str(), t));
        let constants = graph
            .node
            .iter()
            .filter_map(|node| Some((node.output.first()?.as_str(), constant_tensor(node)?)));
        Walk { graph, producer, constant: initializers.chain(constants).collect() }
    }

    /// Refuses a node that reads what nothing provides.
    fn check_links(&self) -> Result<(), Refusal> {
        let inputs: Vec<&str> = inputs(self.graph).map(|input| input.name.as_str()).collect();
        for node in &self.graph.node {
            let known = |name: &str| {
                name.is_empty()
                    || self.producer.contains_key(name)
                    || self.constant.contains_key(name)
                    || inputs.contains(&name)
            };
            if let Some(missing) = node.input.iter().find(|name| !known(name)) {
                let why = format!(
                    "node `{}` reads `{missing}`, which the file does not hold: export it again",
                    label(node)
                );
                return Err((BackboneErrorKind::Weights, why));
            }
        }
        Ok(())
    }

    fn producer_of(&self, node: &NodeProto, input: usize) -> Option<&'a NodeProto> {
        node.input.get(input).and_then(|name| self.producer.get(name.as_str()).copied())
    }

    /// Name of the logits and the node that computes them.
    fn final_node(&self) -> Result<(String, &'a NodeProto), Refusal> {
        let mut looked_at = Vec::new();
        for output in &self.graph.output {
            let mut name = output.name.as_str();
            // Each step goes strictly upstream; the bound only stops a cyclic, hostile graph.
            for _ in 0..self.graph.node.len() {
                let Some(node) = self.producer.get(name) else { break };
                looked_at.push(format!("{} ({})", label(node), node.op_type));
                match node.op_type.as_str() {
                    "Gemm" | "MatMul" => return Ok((name.to_string(), node)),
                    "Add" if self.matmul_of(node).is_some() => return Ok((name.to_string(), node)),
                    // A grid behind the final layer would clip what is unusual: it is left out.
                    "Softmax" | "LogSoftmax" | "Identity" | "Cast" | "QuantizeLinear"
                    | "DequantizeLinear" => {}
                    _ => break,
                }
                match node.input.first() {
                    Some(input) => name = input,
                    None => break,
                }
            }
        }
        Err(taps_refusal(format!(
            "no final linear layer (Gemm, or MatMul + Add) gives the output; looked at: {}. A \
             ResNet-like classifier as torchvision and timm export it is wanted",
            list(&looked_at)
        )))
    }

    /// The MatMul below a bias Add; its result may be quantised between the two.
    fn matmul_of(&self, add: &NodeProto) -> Option<&'a NodeProto> {
        [0, 1].into_iter().find_map(|i| {
            let mut node = self.producer_of(add, i)?;
            for op_type in ["DequantizeLinear", "QuantizeLinear"] {
                if node.op_type == op_type {
                    node = self.producer_of(node, 0)?;
                }
            }
            Some(node).filter(|node| node.op_type == "MatMul")
        })
    }

    fn pool(&self, final_node: &'a NodeProto) -> Result<&'a NodeProto, Refusal> {
        let mut node = if final_node.op_type == "Add" {
            self.matmul_of(final_node).unwrap_or(final_node)
        } else {
            final_node
        };
        let mut looked_at = Vec::new();
        for _ in 0..self.graph.node.len() {
            let Some(above) = self.producer_of(node, 0) else { break };
            looked_at.push(format!("{} ({})", label(above), above.op_type));
            match above.op_type.as_str() {
                "GlobalAveragePool" | "AveragePool" => return Ok(above),
                "ReduceMean" if self.is_spatial(above) => return Ok(above),
                "Flatten" | "Reshape" | "Squeeze" | "Dropout" | "Identity" | "Cast"
                | "QuantizeLinear" | "DequantizeLinear" => node = above,
                _ => break,
            }
        }
        let pools: Vec<String> = self
            .graph
            .node
            .iter()
            .filter(|node| node.op_type.contains("Pool") || node.op_type == "ReduceMean")
            .map(|node| format!("{} ({})", label(node), node.op_type))
            .collect();
        Err(taps_refusal(format!(
            "no global average pool feeds final layer `{}`; looked at: {}; pools in the graph: {}. \
             A ResNet-like network (… → GlobalAveragePool → Flatten → Gemm) is wanted",
            label(final_node),
            list(&looked_at),
            list(&pools)
        )))
    }

    /// Whether a ReduceMean averages exactly the two spatial axes.
    fn is_spatial(&self, node: &NodeProto) -> bool {
        let attribute = node.attribute.iter().find(|a| a.name == "axes").map(|a| a.ints.clone());
        let axes = attribute.or_else(|| {
            let tensor = read_tensor(self.constant.get(node.input.get(1)?.as_str())?).ok()?;
            Some(
                tensor.cast_to::<i64>().ok()?.to_plain_array_view().ok()?.iter().copied().collect(),
            )
        });
        let mut axes: Vec<i64> = axes.unwrap_or_default();
        axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
        axes.sort_unstable();
        axes == [2, 3]
    }

    fn final_layer(&self, node: &NodeProto) -> Result<FinalLayer, Refusal> {
        let is_gemm = node.op_type == "Gemm";
        let product = if node.op_type == "Add" { self.matmul_of(node) } else { Some(node) };
        let unreadable = |what: &str| {
            let why = format!("the {what} of final layer `{}` is not a constant", label(node));
            (BackboneErrorKind::Weights, why)
        };
        let (shape, mut weight) = product
            .and_then(|product| self.floats(product.input.get(1)?))
            .ok_or_else(|| unreadable("weight"))??;
        let &[rows, columns] = &shape[..] else {
            return Err(unreadable("2-D weight"));
        };
        let (classes, width) = if is_gemm && attribute_int(node, "transB") == Some(1) {
            (rows, columns)
        } else {
            weight = transpose(&weight, rows, columns);
            (columns, rows)
        };
        let bias = match (is_gemm, node.op_type.as_str()) {
            (true, _) => node.input.get(2).filter(|name| !name.is_empty()),
            (_, "Add") => node.input.iter().find(|name| self.floats(name).is_some()),
            _ => None,
        };
        let mut bias = match bias {
            Some(name) => self.floats(name).ok_or_else(|| unreadable("bias"))??.1,
            None => vec![0.0; classes],
        };
        if bias.len() != classes {
            let why = format!("the bias of final layer `{}` is not one per class", label(node));
            return Err((BackboneErrorKind::Weights, why));
        }
        if is_gemm {
            let alpha = attribute_float(node, "alpha").unwrap_or(1.0);
            let beta = attribute_float(node, "beta").unwrap_or(1.0);
            weight.iter_mut().for_each(|w| *w *= alpha);
            bias.iter_mut().for_each(|b| *b *= beta);
        }
        Ok(FinalLayer { weight, bias, classes, width })
    }

    /// A constant as floats with its shape, looking through Identity, Transpose, Mul,
    /// QuantizeLinear and DequantizeLinear. `None` when it is not a constant.
    fn floats(&self, name: &str) -> Option<Result<Floats, Refusal>> {
        if let Some(tensor) = self.constant.get(name) {
            return Some(read_tensor(tensor).and_then(|t| floats_of(tensor, &t)));
        }
        let node = self.producer.get(name)?;
        let inner = node.input.first().filter(|inner| inner.as_str() != name)?;
        match node.op_type.as_str() {
            "Identity" | "Cast" => self.floats(inner),
            "Mul" => Some(product(self.floats(inner)?, self.floats(node.input.get(1)?)?)),
            "Transpose" => Some(self.floats(inner)?.map(|(shape, values)| match shape[..] {
                [rows, columns] => (vec![columns, rows], transpose(&values, rows, columns)),
                _ => (shape, values),
            })),
            "DequantizeLinear" => self.rescaled(node, |x, scale, zero| (x - zero) * scale),
            "QuantizeLinear" => {
                let signed = node.input.get(2).and_then(|zero| self.constant.get(zero.as_str()));
                let signed = signed.is_some_and(|zero| zero.data_type == DataType::Int8 as i32);
                let (low, high) = if signed { (-128.0, 127.0) } else { (0.0, 255.0) };
                self.rescaled(node, |x, scale, zero| {
                    ((x / scale).round_ties_even() + zero).clamp(low, high)
                })
            }
            _ => None,
        }
    }

    /// `change(value, scale, zero point)` of each value, with scales per tensor or along one axis.
    fn rescaled(
        &self,
        node: &NodeProto,
        change: impl Fn(f32, f32, f32) -> f32,
    ) -> Option<Result<Floats, Refusal>> {
        let input = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
        let values = self.floats(input(0)?)?;
        let scales = self.floats(input(1)?)?;
        let zeros = match input(2) {
            Some(name) => Some(self.floats(name)?),
            None => None,
        };
        Some((|| {
            let ((shape, mut values), (_, scales)) = (values?, scales?);
            let zeros = zeros.transpose()?.map_or(vec![0.0; scales.len()], |(_, zeros)| zeros);
            let axis =
                attribute_int(node, "axis").unwrap_or(1).rem_euclid(shape.len().max(1) as i64);
            let along = shape.get(axis as usize).copied().unwrap_or(1);
            if zeros.len() != scales.len() || (scales.len() != 1 && scales.len() != along) {
                let why = format!("node `{}`: its scales do not fit its weight", label(node));
                return Err((BackboneErrorKind::Weights, why));
            }
            let inner: usize = shape.iter().skip(axis as usize + 1).product();
            for (i, value) in values.iter_mut().enumerate() {
                let c = if scales.len() == 1 { 0 } else { i / inner.max(1) % along.max(1) };
                *value = change(*value, scales[c], zeros[c]);
            }
            Ok((shape, values))
        })())
    }
}

fn floats_of(proto: &TensorProto, tensor: &Tensor) -> Result<Floats, Refusal> {
    let floats = tensor.cast_to::<f32>().map_err(|e| weights(proto, e))?;
    let view = floats.to_plain_array_view::<f32>().map_err(|e| weights(proto, e))?;
    Ok((tensor.shape().to_vec(), view.iter().copied().collect()))
}

/// The product of two constants, of which one may be a single number.
fn product(a: Result<Floats, Refusal>, b: Result<Floats, Refusal>) -> Result<Floats, Refusal> {
    let ((a_shape, a), (b_shape, b)) = (a?, b?);
    let shape = if a.len() >= b.len() { a_shape } else { b_shape };
    let at = |values: &[f32], i: usize| values.get(i % values.len().max(1)).copied().unwrap_or(0.0);
    Ok((shape, (0..a.len().max(b.len())).map(|i| at(&a, i) * at(&b, i)).collect()))
}

fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
