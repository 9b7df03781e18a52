"""Small float ResNets, written node by node: every tail, stem and width that the int8 engine must know."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Net:
    """One residual stage per width; later ones than the first halve the resolution."""

    opset: int = 13
    size: tuple = (10, 10)  # width and height of the input, pixels
    batch: object = 1  # or a name, for a dynamic batch
    block: str = "basic"  # or "bottleneck"
    stem: str = "3x3"  # or "7x7": stride 2, then a max-pool of stride 2
    stem_width: int = 4
    widths: tuple = (8,)
    depths: tuple = ()  # blocks of each stage; one each when empty
    squeeze: int = 2  # a bottleneck's width by its inner one
    branch_gain: float = 1.0  # size of a residual branch, so that deep sums stay bounded
    first_stride: int = 2
    groups: int = 1
    dilation: int = 1
    classes: int = 7
    activation: str = "Relu"  # or "Clip": ReLU6
    batch_norm: bool = False
    pool: str = "GlobalAveragePool"  # or "ReduceMean", "ReduceMean keepdims=0", "AveragePool"
    flat: str = "Flatten"  # or "Reshape", "Squeeze", "" after "ReduceMean keepdims=0"
    final: str = "Gemm transB=1"  # or "Gemm transB=0", "MatMul + Add"
    seed: int = 1


class Writer:
    """Writes nodes one after the other; a tensor is named after the node that makes it."""

    def __init__(self, net):
        self.net = net
        self.random = np.random.default_rng(net.seed)
        self.nodes, self.constants = [], []

    def constant(self, name, values, dtype=np.float32):
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{name}_node", **attributes))
        return name

    def relu(self, x, name):
        if self.net.activation == "Relu":
            return self.node("Relu", [x], name)
        return self.node("Clip", [x, self.floor, self.ceiling], name)

    def conv(self, x, name, channels, kernel, stride=1, groups=1, dilation=1, gain=1.0):
        """He-initialised, each output channel of another size, as in trained networks."""
        cin, cout = channels
        shape = (cout, cin // groups, kernel, kernel)
        weight = self.random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        weight *= gain * np.exp(self.random.normal(0, 0.4, (cout, 1, 1, 1)))
        inputs = [x, self.constant(f"{name}_w", weight)]
        if not self.net.batch_norm:
            inputs.append(self.constant(f"{name}_b", self.random.normal(0.3, 0.3, cout)))
        pad = dilation * (kernel // 2)
        attributes = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        out = self.node("Conv", inputs, name, group=groups, dilations=[dilation] * 2, **attributes)
        if self.net.batch_norm:
            scale, bias = self.random.uniform(0.7, 1.3, cout), self.random.normal(0.3, 0.3, cout)
            mean, var = self.random.normal(0, 0.3, cout), self.random.uniform(0.5, 2, cout)
            parts = zip("sbmv", (scale, bias, mean, var))
            inputs = [out] + [self.constant(f"{name}_bn_{part}", v) for part, v in parts]
            out = self.node("BatchNormalization", inputs, f"{name}_bn")
        return out

    def basic(self, x, name, channels, stride):
        cin, cout = channels
        d, g = self.net.dilation, self.net.groups
        y = self.relu(self.conv(x, f"{name}a", channels, 3, stride, g), f"{name}a_r")
        y = self.conv(y, f"{name}b", (cout, cout), 3, 1, g, d, self.net.branch_gain)
        return self.join(x, y, name, channels, stride)

    def bottleneck(self, x, name, channels, stride):
        cin, cout = channels
        inner = cout // self.net.squeeze
        d, g = self.net.dilation, self.net.groups
        y = self.relu(self.conv(x, f"{name}a", (cin, inner), 1), f"{name}a_r")
        y = self.relu(self.conv(y, f"{name}b", (inner, inner), 3, stride, g, d), f"{name}b_r")
        y = self.conv(y, f"{name}c", (inner, cout), 1, gain=self.net.branch_gain)
        return self.join(x, y, name, channels, stride)

    def join(self, x, y, name, channels, stride):
        if stride != 1 or channels[0] != channels[1]:
            x = self.conv(x, f"{name}s", channels, 1, stride)
        return self.relu(self.node("Add", [y, x], f"{name}_sum"), f"{name}_out")

    def tail(self, x, channels, side):
        net = self.net
        if net.pool.startswith("ReduceMean"):
            keep = 0 if "=0" in net.pool else 1
            if net.opset < 18:
                x = self.node("ReduceMean", [x], "pool", axes=[2, 3], keepdims=keep)
            else:
                axes = self.constant("pool_axes", [2, 3], np.int64)
                x = self.node("ReduceMean", [x, axes], "pool", keepdims=keep)
        elif net.pool == "AveragePool":
            x = self.node("AveragePool", [x], "pool", kernel_shape=[side[1], side[0]])
        else:
            x = self.node("GlobalAveragePool", [x], "pool")
        if net.flat == "Flatten":
            x = self.node("Flatten", [x], "flat", axis=1)
        elif net.flat == "Reshape":
            x = self.node("Reshape", [x, self.constant("flat_shape", [-1, channels], np.int64)], "flat")
        elif net.flat == "Squeeze" and net.opset < 13:
            x = self.node("Squeeze", [x], "flat", axes=[2, 3])
        elif net.flat == "Squeeze":
            x = self.node("Squeeze", [x, self.constant("flat_axes", [2, 3], np.int64)], "flat")
        weight = self.random.normal(0, np.sqrt(2 / channels), (net.classes, channels))
        bias = self.constant("fc_b", self.random.normal(0, 0.5, net.classes))
        if net.final == "MatMul + Add":
            x = self.node("MatMul", [x, self.constant("fc_w", weight.T)], "fc_product")
            return self.node("Add", [x, bias], "logits")
        trans = int(net.final[-1])
        weight = self.constant("fc_w", weight if trans else weight.T)
        return self.node("Gemm", [x, weight, bias], "logits", transB=trans)

    def model(self):
        net = self.net
        if net.activation == "Clip":
            self.floor, self.ceiling = self.constant("zero", 0), self.constant("six", 6)
        width, side = net.stem_width, list(net.size)
        if net.stem == "7x7":
            x = self.relu(self.conv("image", "stem", (3, width), 7, 2), "stem_r")
            pool = dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
            x = self.node("MaxPool", [x], "stem_pool", **pool)
            side = [(s + 3) // 4 for s in side]
        else:
            x = self.relu(self.conv("image", "stem", (3, width), 3), "stem_r")
        block = self.basic if net.block == "basic" else self.bottleneck
        for index, cout in enumerate(net.widths):
            stride = net.first_stride if index == 0 else 2
            side = [(s + stride - 1) // stride for s in side]
            depth = net.depths[index] if net.depths else 1
            for number in range(depth):
                name = "uvwx"[index] + (str(number + 1) if depth > 1 else "")
                x = block(x, name, (width, cout), stride)
                width, stride = cout, 1
        logits = self.tail(x, width, side)
        shape = [net.batch, 3, net.size[1], net.size[0]]
        graph = helper.make_graph(
            self.nodes,
            "resnet",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [net.batch, net.classes])],
            self.constants,
        )
        # The IR version that was current with the operator set, as the exporters write it.
        ir_version = {11: 6, 13: 7, 17: 8, 19: 9, 21: 10}[net.opset]
        opsets = [helper.make_opsetid("", net.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
        onnx.checker.check_model(model, full_check=True)
        return model


def float_model(net):
    return Writer(net).model()
