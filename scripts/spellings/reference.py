"""What a quantised network gives: its last feature map as integers, and its logits, from onnxruntime."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

POOLS = {"GlobalAveragePool", "AveragePool", "ReduceMean", "QLinearGlobalAveragePool", "QLinearAveragePool"}


def run(model, outputs, image):
    """onnxruntime as written: no graph optimisation, one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(outputs, {session.get_inputs()[0].name: image})


def constant(model, name):
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    node = producer(model, name)
    if node.op_type == "Identity":
        return constant(model, node.input[0])
    assert node.op_type == "Constant", f"{name} is not a constant"
    return numpy_helper.to_array(node.attribute[0].t)


def producer(model, name):
    return next((node for node in model.graph.node if name in node.output), None)


class Map:
    """Where the last feature map stands: its tensor, and its scale and zero point where it is integer."""

    def __init__(self, model):
        pool = [node for node in model.graph.node if node.op_type in POOLS][-1]
        self.tensor, levels = pool.input[0], None
        above = producer(model, self.tensor)
        if pool.op_type.startswith("QLinear"):
            levels = pool.input[1:3]
        elif above.op_type == "DequantizeLinear":
            self.tensor = above.input[0]
            # A DequantizeLinear may leave a zero point of zero out.
            whole = above if len(above.input) > 2 else producer(model, self.tensor)
            levels = whole.input[1:3]
        self.scale = self.zero_point = None
        if levels:
            self.scale, self.zero_point = (constant(model, name) for name in levels)

    def type(self):
        if self.scale is None:
            return "f32"
        return "u8" if self.zero_point.dtype == np.uint8 else "i8"

    def onnx_type(self):
        kinds = {"f32": onnx.TensorProto.FLOAT, "u8": onnx.TensorProto.UINT8, "i8": onnx.TensorProto.INT8}
        return kinds[self.type()]


def with_u8_weights(model):
    """The same network with 128 added to the i8 weights of QOperator nodes and to their zero points.

    onnxruntime's kernels of u8 by i8 for x86 processors without VNNI add pairs of products in 16 bits
    that saturate; those of u8 by u8 are exact on all.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in out.graph.initializer}
    products = [n for n in out.graph.node if n.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")]
    products = [n for n in products if constant(model, n.input[2]).dtype == np.uint8]
    for name in {name for node in products for name in (node.input[3], node.input[5])}:
        values = numpy_helper.to_array(constants[name])
        if values.dtype == np.int8:
            raised = (values.astype(np.int16) + 128).astype(np.uint8)
            constants[name].CopyFrom(numpy_helper.from_array(raised, name))
    return out


def logits_of(model):
    """The final layer's output, before a Softmax and before its own quantisation."""
    name = model.graph.output[0].name
    node = producer(model, name)
    if node.op_type == "Softmax":
        name, node = node.input[0], producer(model, node.input[0])
    if node.op_type == "DequantizeLinear":
        above = producer(model, node.input[0])
        name = above.input[0] if above.op_type == "QuantizeLinear" else name
    return name


def evaluate(model, image):
    """The last feature map, its description, and the logits."""
    at = Map(model)
    tapped = with_u8_weights(model)
    wanted = {at.tensor: at.onnx_type(), logits_of(model): onnx.TensorProto.FLOAT}
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_tensor_value_info(n, t, None) for n, t in wanted.items())
    values, logits = run(tapped, list(wanted), image)
    return at, values, logits


def as_qdq(model):
    """The same network with each QOperator node spelt as DequantizeLinear, float, QuantizeLinear."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:], out.graph.value_info[:]
    for entry in out.opset_import:
        entry.version = max(entry.version, 13) if entry.domain == "" else entry.version
    for node in model.graph.node:
        out.graph.node.extend(spell(model, out, node) if is_integer(node) else [node])
    return out


def is_integer(node):
    return node.op_type.startswith("QLinear") or node.op_type == "QGemm"


def spell(model, out, node):
    name, x = node.output[0], list(node.input)
    nodes = []

    def dequantised(i, axis=None):
        result = f"{name}_{i}"
        how = {} if axis is None or constant(model, x[i + 1]).ndim == 0 else {"axis": axis}
        nodes.append(helper.make_node("DequantizeLinear", x[i : i + 3], [result], **how))
        return result

    def bias(i):
        scale = constant(model, x[1]) * np.atleast_1d(constant(model, x[4]))
        values = constant(model, x[i]).astype(np.float64) * scale
        out.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_bias"))
        return f"{name}_bias"

    keep = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    keep.pop("channels_last", None)
    op = node.op_type.removeprefix("QLinear").removeprefix("Q")
    levels = x[-2:]
    if op == "Conv":
        levels = x[6:8]
        inputs = [dequantised(0), dequantised(3, 0)] + ([bias(8)] if len(x) > 8 else [])
    elif op == "Gemm":
        axis = 0 if keep.get("transB") else 1
        inputs, levels = [dequantised(0), dequantised(3, axis), bias(6)], x[7:9]
    elif op in ("Add", "MatMul"):
        inputs = [dequantised(0), dequantised(3, 1)]
    else:
        inputs = [dequantised(0)]
    result = f"{name}_float" if levels else name
    nodes.append(helper.make_node(op, inputs, [result], **keep))
    if levels:
        nodes.append(helper.make_node("QuantizeLinear", [result, *levels], [name]))
    return nodes


def differences(model, image, values):
    """Share of map values that differ from the float spelling's, and the largest difference."""
    _, other, _ = evaluate(as_qdq(model), image)
    gap = np.abs(values.astype(np.int64) - other.astype(np.int64))
    return float((gap > 0).mean()), int(gap.max())
