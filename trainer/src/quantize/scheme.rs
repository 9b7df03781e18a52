//! Which tensors of a network become int8, in the manner of onnxruntime's `quantize_static`.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::graph::{Floats, attribute_float, attribute_int, constant, consumers, label};

/// An activation that is quantised and dequantised wherever it is read.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub tensor: String,
    /// The node that computes it; the graph's input has none.
    pub node: String,
    /// Shares the levels of that site, because the node between them only moves values.
    pub inherits: Option<usize>,
}

/// A node with constant weights, which become int8 per output channel.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Index of the node.
    pub node: usize,
    /// The site that it reads.
    pub site: usize,
    pub weight: Floats,
    /// The weight's axis of output channels.
    pub axis: usize,
    pub groups: usize,
    pub bias: Bias,
}

/// The bias of a [`Layer`].
#[derive(Clone, Debug)]
pub(super) enum Bias {
    /// One value per output channel; zeros where the node has none.
    Values(Vec<f32>),
    /// A MatMul has no bias.
    Never,
}

/// What is quantised.
#[derive(Debug, Default)]
pub(super) struct Scheme {
    pub sites: Vec<Site>,
    pub layers: Vec<Layer>,
    /// `name (operator): why` of the nodes that stay float.
    pub kept_float: Vec<String>,
    index: HashMap<String, usize>,
}

impl Scheme {
    /// Decides for a graph without batch normalisation after its convolutions.
    pub fn of(graph: &GraphProto) -> Scheme {
        let mut scheme = Scheme::default();
        let walk = Walk { graph, consumers: consumers(graph) };
        for (index, node) in graph.node.iter().enumerate() {
            scheme.decide(&walk, index, node);
        }
        scheme
    }

    /// The site of a tensor.
    pub fn site(&self, tensor: &str) -> Option<usize> {
        self.index.get(tensor).copied()
    }

    fn decide(&mut self, walk: &Walk, index: usize, node: &NodeProto) {
        let (Some(output), first) = (node.output.first(), node.input.first()) else { return };
        match (node.op_type.as_str(), first) {
            ("Conv" | "Gemm" | "MatMul", Some(input)) => match walk.weights(node) {
                Ok((weight, axis, groups, bias)) => {
                    let site = self.add(walk, input);
                    self.layers.push(Layer { node: index, site, weight, axis, groups, bias });
                    if node.op_type == "Conv" {
                        self.add(walk, walk.activated(output));
                    }
                }
                Err(why) => self.keep(node, why),
            },
            ("Add", Some(_)) if !walk.reads_constant(node) => {
                node.input.iter().for_each(|input| {
                    self.add(walk, input);
                });
                self.add(walk, walk.activated(output));
            }
            ("GlobalAveragePool" | "AveragePool" | "ReduceMean", Some(input)) => {
                self.add(walk, input);
                self.add(walk, output);
            }
            ("MaxPool", Some(input)) => {
                let from = self.add(walk, input);
                self.inherit(walk, output, from);
            }
            (
                "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Dropout" | "Identity",
                Some(input),
            ) => {
                if let Some(from) = self.site(input) {
                    self.inherit(walk, output, from);
                }
            }
            ("Constant", _) => {}
            ("Relu" | "Clip", Some(input)) if walk.activated(input) == output.as_str() => {}
            _ => self.keep(node, "its operator has no int8 form here"),
        }
    }

    fn keep(&mut self, node: &NodeProto, why: &str) {
        self.kept_float.push(format!("{} ({}): {why}", label(node), node.op_type));
    }

    fn add(&mut self, walk: &Walk, tensor: &str) -> usize {
        self.insert(walk, tensor, None)
    }

    fn inherit(&mut self, walk: &Walk, tensor: &str, from: usize) {
        self.insert(walk, tensor, Some(from));
    }

    fn insert(&mut self, walk: &Walk, tensor: &str, inherits: Option<usize>) -> usize {
        if let Some(&site) = self.index.get(tensor) {
            return site;
        }
        let node = walk.producer(tensor).map_or("input", label).to_string();
        self.sites.push(Site { tensor: tensor.into(), node, inherits });
        self.index.insert(tensor.into(), self.sites.len() - 1);
        self.sites.len() - 1
    }
}

type Weights = (Floats, usize, usize, Bias);

struct Walk<'a> {
    graph: &'a GraphProto,
    consumers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Walk<'a> {
    fn producer(&self, tensor: &str) -> Option<&'a NodeProto> {
        self.graph.node.iter().find(|node| node.output.iter().any(|output| output == tensor))
    }

    /// The tensor after the activation function that alone reads `tensor`, or `tensor` itself.
    fn activated<'t>(&'t self, tensor: &'t str) -> &'t str {
        let is_output = self.graph.output.iter().any(|output| output.name == tensor);
        let [reader] = self.consumers.get(tensor).map_or(&[][..], Vec::as_slice) else {
            return tensor;
        };
        let node = &self.graph.node[*reader];
        let is_activation = matches!(node.op_type.as_str(), "Relu" | "Clip");
        let reads_it = node.input.first().is_some_and(|input| input == tensor);
        match node.output.first() {
            Some(output) if is_activation && reads_it && !is_output => output,
            _ => tensor,
        }
    }

    fn reads_constant(&self, node: &NodeProto) -> bool {
        node.input.iter().any(|input| constant(self.graph, input).is_some())
    }

    /// Weight, its axis of output channels, groups and bias of a Conv, Gemm or MatMul.
    fn weights(&self, node: &NodeProto) -> Result<Weights, &'static str> {
        let read = |i: usize| {
            let name = node.input.get(i).filter(|name| !name.is_empty())?;
            Some(constant(self.graph, name))
        };
        let weight = read(1).flatten().ok_or("its weight is not a float constant")?;
        let is = |name: &str, usual: f32| attribute_float(node, name).unwrap_or(usual) == usual;
        let axis = match node.op_type.as_str() {
            "Conv" if weight.shape.len() >= 3 => 0,
            "MatMul" if weight.shape.len() == 2 => 1,
            "Gemm" if attribute_int(node, "transA").unwrap_or(0) != 0 => {
                return Err("it transposes its input");
            }
            "Gemm" if !is("alpha", 1.0) || !is("beta", 1.0) => {
                return Err("its alpha or beta is not 1");
            }
            "Gemm" if weight.shape.len() == 2 => {
                usize::from(attribute_int(node, "transB").unwrap_or(0) == 0)
            }
            _ => return Err("its weight has an unusual number of dimensions"),
        };
        let channels = weight.shape[axis];
        let groups = attribute_int(node, "group").unwrap_or(1).max(1) as usize;
        if weight.values.is_empty() || !channels.is_multiple_of(groups) {
            return Err("its weight does not fit its groups");
        }
        let bias = match (node.op_type.as_str(), read(2)) {
            ("MatMul", _) => Bias::Never,
            (_, None) => Bias::Values(vec![0.0; channels]),
            (_, Some(Some(bias))) if bias.values.len() == channels => Bias::Values(bias.values),
            _ => return Err("its bias is not a constant of one value per output channel"),
        };
        Ok((weight, axis, groups, bias))
    }
}
