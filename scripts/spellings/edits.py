"""Spellings that no tool here writes but others do: the same network, written otherwise."""

import numpy as np
from onnx import helper, numpy_helper


def without_zero_points(model):
    """A missing zero point means zero, and u8 where nothing else tells the type."""
    graph = model.graph
    zeros = {t.name for t in graph.initializer if not numpy_helper.to_array(t).any()}
    for node in graph.node:
        is_u8 = node.op_type == "QuantizeLinear" and constant(graph, node.input[2]).dtype == np.uint8
        if (is_u8 or node.op_type == "DequantizeLinear") and node.input[2] in zeros:
            del node.input[2]
    drop_unread(graph)
    return model


def constants_as_nodes(model):
    """Every scale, zero point, weight and bias in a Constant node, as some exporters leave them."""
    graph = model.graph
    made = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    nodes = made + list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.node.extend(nodes)
    return model


def biases_of_other_scales(model):
    """A bias whose scale is not (input scale x weight scale): legal, but not an accumulator's."""
    graph = model.graph
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and constant(graph, node.input[0]) is not None:
            values = constant(graph, node.input[0])
            if values.dtype == np.int32:
                replace(graph, node.input[0], np.round(values / 2.5).astype(np.int32))
                replace(graph, node.input[1], constant(graph, node.input[1]) * np.float32(2.5))
    return model


def softmax_at_the_end(model):
    graph = model.graph
    logits = graph.output[0].name
    graph.node.append(helper.make_node("Softmax", [logits], ["probabilities"], name="softmax", axis=1))
    graph.output[0].name = "probabilities"
    return model


def constant(graph, name):
    tensors = (t for t in graph.initializer if t.name == name)
    return next(map(numpy_helper.to_array, tensors), None)


def replace(graph, name, values):
    tensor = next(t for t in graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), name))


def drop_unread(graph):
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
