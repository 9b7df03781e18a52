"""Malformed quantised networks. Each has one fault, which its name tells."""

import numpy as np
import onnx
from onnx import numpy_helper

from .edits import constant, replace


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


def maker(model, tensor):
    return next(node for node in model.graph.node if tensor in node.output)


class Fault:
    """`change` breaks a copy of `base` and gives the node that an error should name."""

    def __init__(self, about, change, base="qdq"):
        self.about, self.change, self.base = about, change, base


def part(node, index, values):
    """Replaces input `index` of a node by `values(old)`."""

    def change(model):
        found = node(model)
        old = constant(model.graph, found.input[index])
        name = f"{found.name}_{index}_changed"
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values(old)), name))
        found.input[index] = name
        return found

    return change


def lost(node, index):
    """Drops the constant that input `index` of a node names."""

    def change(model):
        found = node(model)
        kept = [t for t in model.graph.initializer if t.name != found.input[index]]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        return found

    return change


def quantize_stem(model):
    """The QuantizeLinear of the stem's output."""
    return next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "stem_r")


def weights_of(conv):
    return lambda model: maker(model, node_of(model, conv).input[1])


def bias_of(conv):
    return lambda model: maker(model, node_of(model, conv).input[2])


def qlinear(conv):
    return lambda model: node_of(model, f"{conv}_node_quant")


def out_of_range(model):
    """A zero point of 300 in a u8 tensor: the file's field is 32 bits wide."""
    node = quantize_stem(model)
    tensor = next(t for t in model.graph.initializer if t.name == node.input[2])
    tensor.ClearField("raw_data")
    tensor.int32_data[:] = [300]
    return node


def truncated(model):
    """Weights with fewer bytes than their shape says."""
    node = weights_of("stem_node")(model)
    tensor = next(t for t in model.graph.initializer if t.name == node.input[0])
    tensor.raw_data = numpy_helper.to_array(tensor).tobytes()[:-7]
    return node


def far_axis(model):
    node = weights_of("stem_node")(model)
    next(a for a in node.attribute if a.name == "axis").i = 7
    return node


def shortcut(model):
    """The shortcut's 1x1 convolution gives one channel less than the branch."""
    conv = node_of(model, "us_node")
    weight, bias = (maker(model, conv.input[i]) for i in (1, 2))
    for dequantize in (weight, bias):
        for name in dequantize.input:
            replace(model.graph, name, constant(model.graph, name)[:-1])
    return node_of(model, "u_sum_node")


def fewer_inputs(model):
    node = qlinear("stem")(model)
    del node.input[6:]
    return node


stem_weights, stem_bias = weights_of("stem_node"), bias_of("stem_node")

FAULTS = {
    "scale-zero": Fault("activation scale 0", part(quantize_stem, 1, lambda s: s * 0)),
    "scale-negative": Fault("activation scale below 0", part(quantize_stem, 1, lambda s: -s)),
    "scale-nan": Fault("activation scale NaN", part(quantize_stem, 1, lambda s: s * np.float32("nan"))),
    "scale-infinite": Fault(
        "activation scale infinity", part(quantize_stem, 1, lambda s: s * np.float32("inf"))
    ),
    "scale-of-three": Fault("an activation with three scales", part(quantize_stem, 1, lambda s: s.repeat(3))),
    "scale-missing": Fault("activation scale absent", lost(quantize_stem, 1)),
    "weight-scale-zero": Fault(
        "one channel's weight scale 0", part(stem_weights, 1, lambda s: s * np.float32([1, 0, 1, 1]))
    ),
    "weight-scale-negative": Fault(
        "one channel's weight scale below 0", part(stem_weights, 1, lambda s: s * np.float32([1, 1, -1, 1]))
    ),
    "weight-scale-nan": Fault(
        "one channel's weight scale NaN", part(stem_weights, 1, lambda s: s * np.float32([1, 1, 1, "nan"]))
    ),
    "weight-scale-short": Fault("3 weight scales for 4 channels", part(stem_weights, 1, lambda s: s[:-1])),
    "weight-scale-empty": Fault("no weight scale for 4 channels", part(stem_weights, 1, lambda s: s[:0])),
    "weight-zero-point-short": Fault("3 zero points for 4 channels", part(stem_weights, 2, lambda z: z[:-1])),
    "weight-axis-7": Fault("weight scales along an axis that the weight has not", far_axis),
    "zero-point-out-of-range": Fault("zero point 300 in a u8 tensor", out_of_range),
    "zero-point-i32": Fault("zero point of type i32", part(quantize_stem, 2, lambda z: z.astype(np.int32))),
    "weight-zero-point-u8": Fault(
        "u8 zero points of i8 weights", part(stem_weights, 2, lambda z: z.astype(np.uint8))
    ),
    "weights-missing": Fault("weights absent", lost(stem_weights, 0)),
    "weights-truncated": Fault("weights with too few bytes", truncated),
    "weights-of-other-channels": Fault(
        "weights for 2 channels after 3", part(weights_of("stem_node"), 0, lambda w: w[:, :-1])
    ),
    "bias-missing": Fault("bias absent", lost(stem_bias, 0)),
    "bias-short": Fault("bias of 3 for 4 channels", part(stem_bias, 0, lambda b: b[:-1])),
    "shortcut-of-other-channels": Fault("sum of 8 and of 7 channels", shortcut, base="qdq shortcut"),
    "qoperator-scale-zero": Fault("input scale 0", part(qlinear("stem"), 1, lambda s: s * 0), base="qoperator"),
    "qoperator-scale-negative": Fault(
        "output scale below 0", part(qlinear("stem"), 6, lambda s: -s), base="qoperator"
    ),
    "qoperator-weight-scale-short": Fault(
        "3 weight scales for 4 channels", part(qlinear("stem"), 4, lambda s: s[:-1]), base="qoperator"
    ),
    "qoperator-zero-point-i8": Fault(
        "i8 output zero point between u8 nodes",
        part(qlinear("stem"), 7, lambda z: z.astype(np.int8)),
        base="qoperator",
    ),
    "qoperator-weights-missing": Fault("weights absent", lost(qlinear("stem"), 3), base="qoperator"),
    "qoperator-weights-of-other-channels": Fault(
        "weights for 2 channels after 3", part(qlinear("stem"), 3, lambda w: w[:, :-1]), base="qoperator"
    ),
    "qoperator-bias-short": Fault(
        "bias of 3 for 4 channels", part(qlinear("stem"), 8, lambda b: b[:-1]), base="qoperator"
    ),
    "qoperator-fewer-inputs": Fault("QLinearConv without output scale", fewer_inputs, base="qoperator"),
}


def write(out, bases):
    """Writes every fault; gives (name, what is wrong, the node that is wrong) of each."""
    out.mkdir(exist_ok=True)
    rows = []
    for name, fault in FAULTS.items():
        model = onnx.ModelProto()
        model.CopyFrom(bases[fault.base])
        node = fault.change(model)
        (out / f"{name}.onnx").write_bytes(model.SerializeToString())
        rows.append((name, fault.about, node.name))
    return rows
