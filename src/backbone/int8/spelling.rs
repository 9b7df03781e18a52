//! From the QOperator spelling of a quantised graph to the QDQ one.
//!
//! `QLinearConv` and its like state on int8 tensors what `DequantizeLinear → Conv → QuantizeLinear` states
//! with float ones between. They are spelt out before import, so that one form is left to recognise, and so
//! that tract can run those that it does not know.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, attribute_proto};
use tract_onnx::tract_core::internal::*;

/// Spells out every QOperator node that is known; others stay as they are.
pub(in crate::backbone) fn spell_out(proto: &mut ModelProto) -> TractResult<()> {
    let Some(graph) = proto.graph.as_mut() else { return Ok(()) };
    let nodes = std::mem::take(&mut graph.node);
    for (index, node) in nodes.into_iter().enumerate() {
        let Some(form) = form_of(&node) else {
            graph.node.push(node);
            continue;
        };
        let label = if node.name.is_empty() { node.output.join(",") } else { node.name.clone() };
        // A QGemm may end without a grid for its output.
        let wanted = if form.op_type == "Gemm" { 6 } else { form.output + 2 };
        if node.input.len() < wanted || node.output.len() != 1 {
            bail!(
                "node `{label}`: {} has {} inputs; at least {wanted} are wanted",
                node.op_type,
                node.input.len()
            );
        }
        Spelling { graph, prefix: format!("{label}.{index}") }.spell(node, &form);
    }
    Ok(())
}

/// How an operator's inputs are laid out.
struct Form {
    op_type: &'static str,
    /// Axis of the scales of each quantised operand; an operand is a tensor, its scale, its zero point.
    inputs: &'static [i64],
    /// Where the output's scale stands; its zero point follows.
    output: usize,
    /// Where an int32 bias stands, whose scale is the product of those of the two operands.
    bias: Option<usize>,
    /// Attributes that the float operator does not have.
    dropped: &'static [&'static str],
}

fn form_of(node: &NodeProto) -> Option<Form> {
    let form = |op_type, inputs, output, bias| Form { op_type, inputs, output, bias, dropped: &[] };
    // Data before per-channel weights: a scale of one entry per output channel lies along axis 0 of a
    // convolution's weights, and along axis 1 of a product's.
    Some(match node.op_type.as_str() {
        "QLinearConv" => form("Conv", &[1, 0], 6, Some(8)),
        "QLinearMatMul" => form("MatMul", &[1, 1], 6, None),
        "QGemm" => {
            let turned = node.attribute.iter().any(|a| a.name == "transB" && a.i == 1);
            let inputs: &[i64] = if turned { &[1, 0] } else { &[1, 1] };
            Form { output: 7, bias: Some(6), ..form("Gemm", inputs, 7, None) }
        }
        "QLinearAdd" => form("Add", &[1, 1], 6, None),
        "QLinearMul" => form("Mul", &[1, 1], 6, None),
        "QLinearGlobalAveragePool" => {
            Form { dropped: &["channels_last"], ..form("GlobalAveragePool", &[1], 3, None) }
        }
        "QLinearAveragePool" => {
            Form { dropped: &["channels_last"], ..form("AveragePool", &[1], 3, None) }
        }
        "QLinearLeakyRelu" => form("LeakyRelu", &[1], 3, None),
        "QLinearSigmoid" => form("Sigmoid", &[1], 3, None),
        _ => return None,
    })
}

struct Spelling<'g> {
    graph: &'g mut GraphProto,
    prefix: String,
}

impl Spelling<'_> {
    fn spell(&mut self, node: NodeProto, form: &Form) {
        let input = |i: usize| node.input.get(i).cloned().unwrap_or_default();
        let mut operands: Vec<String> = Vec::new();
        for (k, axis) in form.inputs.iter().enumerate() {
            let from = [input(3 * k), input(3 * k + 1), input(3 * k + 2)];
            operands.push(self.linear("DequantizeLinear", &format!("operand{k}"), from, *axis));
        }
        if let Some(bias) = form.bias.map(input).filter(|name| !name.is_empty()) {
            let scale = self.name("bias_scale");
            self.push("Mul", &scale, vec![input(1), input(4)], vec![]);
            operands.push(self.linear("DequantizeLinear", "bias", [bias, scale, String::new()], 0));
        }
        let attributes = node.attribute.iter().filter(|a| !form.dropped.contains(&&*a.name));
        let attributes = attributes.cloned().collect();
        if input(form.output).is_empty() {
            // A QGemm without an output scale gives floats.
            return self.push(form.op_type, &node.output[0], operands, attributes);
        }
        let real = self.name("real");
        self.push(form.op_type, &real, operands, attributes);
        let from = [real, input(form.output), input(form.output + 1)];
        let mut quantize = linear_node("QuantizeLinear", &node.output[0], from, 1);
        quantize.name = node.name;
        self.graph.node.push(quantize);
    }

    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    fn linear(&mut self, op_type: &str, what: &str, from: [String; 3], axis: i64) -> String {
        let output = self.name(what);
        self.graph.node.push(linear_node(op_type, &output, from, axis));
        output
    }

    fn push(
        &mut self,
        op_type: &str,
        output: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            op_type: op_type.into(),
            name: output.into(),
            input,
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }
}

fn linear_node(op_type: &str, output: &str, from: [String; 3], axis: i64) -> NodeProto {
    let [tensor, scale, zero_point] = from;
    let mut input = vec![tensor, scale];
    input.extend((!zero_point.is_empty()).then_some(zero_point));
    NodeProto {
        op_type: op_type.into(),
        name: output.into(),
        input,
        output: vec![output.into()],
        attribute: vec![AttributeProto {
            name: "axis".into(),
            r#type: attribute_proto::AttributeType::Int as i32,
            i: axis,
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}
