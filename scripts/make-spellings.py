#!/usr/bin/env python3
"""Writes tests/onnx: tiny quantised ResNets in every spelling that the int8 engine must know.

    python3 -m venv target/spellings
    target/spellings/bin/pip install numpy onnx onnxruntime onnxscript sympy torch
    cargo build --workspace
    target/spellings/bin/python scripts/make-spellings.py [NAME ...]

Each NAME.onnx has a NAME.json beside it: one picture, and what onnxruntime with all graph optimisation
disabled computes for it. Everything is seeded and drawn here; nothing is copied. The files are committed, so
this runs only when a case is added; another version of a tool spells some of them differently. Made with
numpy 2.4.6, onnx 1.23.2, onnxruntime 1.31.1, torch 2.15.0 and onnxscript 0.7.2.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from spellings import bad, edits, reference, torch_nets
from spellings.nets import Net, float_model
from spellings.pictures import COMPARED, MEAN, STD, calibration, network_input, picture

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "onnx"
BYTES_LIMIT = 12_288
I8 = dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
U8 = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


class Pictures(CalibrationDataReader):
    def __init__(self, name, size):
        self.rows = iter([{name: image} for image in calibration(size)])

    def get_next(self):
        return next(self.rows, None)


@dataclass
class Ort:
    """A float network quantised by onnxruntime's `quantize_static`."""

    about: str
    net: Net = field(default_factory=Net)
    types: dict = field(default_factory=lambda: U8)
    per_channel: bool = True
    qoperator: bool = False
    pre_process: bool = False
    options: dict = field(default_factory=dict)
    only: tuple = ()
    without: tuple = ()
    reduce_range: bool = False

    @property
    def size(self):
        return self.net.size

    def model(self, work):
        return self.quantise(float_model(self.net), work)

    def quantise(self, model, work):
        source, out = work / "float.onnx", work / "int8.onnx"
        onnx.save(model, source)
        if self.pre_process:
            quant_pre_process(str(source), str(work / "ready.onnx"))
            source = work / "ready.onnx"
        quantize_static(
            source,
            out,
            Pictures(model.graph.input[0].name, self.size),
            quant_format=QuantFormat.QOperator if self.qoperator else QuantFormat.QDQ,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            op_types_to_quantize=list(self.only) or None,
            nodes_to_exclude=list(self.without) or None,
            extra_options=self.options,
            **self.types,
        )
        return onnx.load(out)


@dataclass
class Edited(Ort):
    """A quantised network, then written otherwise by `edit`."""

    edit: object = None

    def model(self, work):
        return self.edit(super().model(work))


@dataclass
class Torch(Ort):
    """A network of torch modules through one of torch's exporters, then `quantize_static`."""

    dynamo: bool = False
    opset: int = 13
    dynamic_batch: bool = False
    modules: dict = field(default_factory=dict)
    fake_quantised: bool = False
    seed: int = 3

    def model(self, work):
        style = torch_nets.Style(self.fake_quantised, self.per_channel)
        module = torch_nets.ResNet(style=style, **self.modules)
        module = torch_nets.trained_like(module, self.seed, calibration(self.size))
        exported = torch_nets.export(module, self.size, self.opset, self.dynamo, self.dynamic_batch)
        model = onnx.load_from_string(exported)
        return model if self.fake_quantised else self.quantise(model, work)


@dataclass
class Oddsight(Ort):
    """A float network quantised by our own `oddsight-train quantize`."""

    def model(self, work):
        from PIL import Image

        source, out, pictures = work / "float.onnx", work / "int8.onnx", work / "pictures"
        onnx.save(float_model(self.net), source)
        pictures.mkdir()
        for seed in range(16):
            Image.fromarray(picture(seed, *self.size)).save(pictures / f"{seed:02}.png")
        program = ROOT / "target" / "debug" / "oddsight-train"
        command = [program, "quantize", "--backbone", source, "--data", pictures, "--out", out]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        return onnx.load(out)


BOTTLENECK = Net(block="bottleneck", stem_width=8, widths=(12,), seed=2)
STEM7 = Net(stem="7x7", size=(24, 24), seed=3)
SYMMETRIC = {"ActivationSymmetric": True}


def small(**how):
    """One block without a convolution in its shortcut, for what does not depend on the rest."""
    return Net(**{**dict(size=(8, 8), widths=(4,), first_stride=1, seed=7), **how})


SPELLINGS = {
    "qdq-u8-per-tensor": Ort("QDQ, u8 activations, i8 weights, one scale per tensor", per_channel=False),
    "qdq-u8-per-channel": Ort("QDQ, u8 activations, i8 weights, a scale per output channel"),
    "qdq-i8-per-channel": Ort("QDQ, i8 activations, per channel", types=I8),
    "qdq-i8-symmetric": Ort(
        "QDQ, i8 activations with zero point 0: Relu stays", small(), types=I8, options=SYMMETRIC
    ),
    "qdq-u8-symmetric": Ort("QDQ, u8 activations with zero point 128: Relu stays", small(), options=SYMMETRIC),
    "qdq-weights-u8": Ort(
        "QDQ, asymmetric u8 weights",
        small(),
        types=dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8),
        per_channel=False,
    ),
    "qdq-weights-asymmetric": Ort(
        "QDQ, i8 weights with a zero point", small(), per_channel=False, options={"WeightSymmetric": False}
    ),
    "qdq-reduce-range": Ort("QDQ, 7-bit weights", small(), reduce_range=True),
    "qdq-weights-on-graph": Ort(
        "QDQ, weights kept in float, quantised in the graph", small(), options={"AddQDQPairToWeight": True}
    ),
    "qdq-dedicated-pairs": Ort(
        "QDQ, a DequantizeLinear per reader", small(), options={"DedicatedQDQPair": True}
    ),
    "qdq-relu-kept": Ort(
        "QDQ, Relu kept before QuantizeLinear", small(), options={"QDQKeepRemovableActivations": True}
    ),
    "qdq-relu6-kept": Ort(
        "QDQ, ReLU6, kept as Clip",
        small(activation="Clip"),
        options={"QDQKeepRemovableActivations": True},
    ),
    "qdq-batch-norm": Ort("QDQ, batch norm not folded, float", small(batch_norm=True)),
    "qdq-batch-norm-pre-processed": Ort(
        "QDQ, batch norm folded by quant_pre_process", small(batch_norm=True), pre_process=True
    ),
    "qdq-conv-only": Ort("QDQ, only Conv quantised: float Add, Relu and tail", only=("Conv",)),
    "qdq-one-branch-float": Ort("QDQ, one convolution of the residual branch left float", without=("ub_node",)),
    "qdq-shortcut-float": Ort("QDQ, the 1x1 shortcut left float", without=("us_node",)),
    "qdq-ends-float": Ort("QDQ, first and final layer left float", without=("stem_node", "logits_node")),
    "qdq-logits-float": Ort(
        "QDQ, logits not quantised", small(), options={"OpTypesToExcludeOutputQuantization": ["Gemm"]}
    ),
    "qdq-opset11": Ort("QDQ, operator set 11", small(opset=11), per_channel=False),
    "qdq-opset21": Ort("QDQ, operator set 21", small(opset=21)),
    "qdq-bottleneck-resnext": Ort(
        "QDQ, bottleneck with 2 groups", Net(block="bottleneck", stem_width=8, widths=(16,), groups=2, seed=4)
    ),
    "qdq-dilated": Ort("QDQ, second convolution with dilation 2", small(dilation=2)),
    "qdq-odd-widths-not-square": Ort(
        "QDQ, widths 5 and 13, a picture of 14x9", Net(stem_width=5, widths=(13,), size=(14, 9), seed=5)
    ),
    "qdq-dynamic-batch": Ort("QDQ, batch dimension without a size", small(batch="N")),
    "qdq-reduce-mean-matmul": Ort(
        "QDQ, tail ReduceMean without kept axes, MatMul, Add",
        small(pool="ReduceMean keepdims=0", flat="", final="MatMul + Add"),
    ),
    "qdq-reduce-mean-squeeze": Ort(
        "QDQ, tail ReduceMean, Squeeze, Gemm with transB=0, operator set 19",
        small(opset=19, pool="ReduceMean", flat="Squeeze", final="Gemm transB=0"),
    ),
    "qdq-average-pool-reshape": Ort(
        "QDQ, tail AveragePool over the map, Reshape", small(pool="AveragePool", flat="Reshape")
    ),
    "qdq-no-zero-points": Edited(
        "QDQ, zero points of zero left out", small(), I8, options=SYMMETRIC, edit=edits.without_zero_points
    ),
    "qdq-constant-nodes": Edited(
        "QDQ, all constants in Constant nodes", small(), edit=edits.constants_as_nodes
    ),
    "qdq-bias-of-other-scale": Edited(
        "QDQ, i32 biases of a scale of their own", small(), edit=edits.biases_of_other_scales
    ),
    "qdq-softmax": Edited("QDQ, Softmax behind the logits", small(), edit=edits.softmax_at_the_end),
    "qoperator-u8-per-tensor": Ort("QOperator, u8", per_channel=False, qoperator=True),
    "qoperator-u8-per-channel": Ort("QOperator, u8, per channel", qoperator=True),
    "qoperator-i8-per-channel": Ort("QOperator, i8, per channel", types=I8, qoperator=True),
    "qoperator-opset11": Ort("QOperator, operator set 11", small(opset=11), per_channel=False, qoperator=True),
    "qoperator-bottleneck": Ort("QOperator, bottleneck block", BOTTLENECK, qoperator=True),
    "qoperator-stem-7x7": Ort("QOperator, 7x7 stem and a max-pool of integers", STEM7, qoperator=True),
    "qoperator-average-pool-matmul": Ort(
        "QOperator, tail AveragePool, MatMul, Add",
        small(pool="AveragePool", final="MatMul + Add"),
        per_channel=False,
        qoperator=True,
    ),
    "qoperator-relu-kept": Ort(
        "QOperator, i8 with zero point 0: a float Relu between the integer nodes",
        small(),
        types=I8,
        qoperator=True,
        options=SYMMETRIC,
    ),
    "qoperator-conv-only": Ort("QOperator, only QLinearConv", qoperator=True, only=("Conv",)),
    "qoperator-one-branch-float": Ort(
        "QOperator, one convolution left float", qoperator=True, without=("ub_node",)
    ),
    "torch-legacy": Torch("torch's TorchScript exporter, then QDQ"),
    "torch-legacy-opset11-stem-7x7": Torch(
        "torch's TorchScript exporter, operator set 11, 7x7 stem, then QDQ per tensor",
        Net(size=(24, 24)),
        per_channel=False,
        opset=11,
        modules=dict(stem="7x7"),
    ),
    "torch-legacy-resnext-dynamic-batch": Torch(
        "torch's TorchScript exporter, bottleneck with 2 groups, dynamic batch, then QOperator",
        opset=17,
        qoperator=True,
        dynamic_batch=True,
        modules=dict(block=torch_nets.Bottleneck, width=16, groups=2),
    ),
    "torch-dynamo": Torch(
        "torch's dynamo exporter, operator set 18, dynamic batch, then QDQ",
        opset=18,
        dynamo=True,
        dynamic_batch=True,
    ),
    "torch-dynamo-bottleneck-mean": Torch(
        "torch's dynamo exporter, bottleneck, pool by mean, operator set 20, then QDQ i8",
        types=I8,
        opset=20,
        dynamo=True,
        modules=dict(block=torch_nets.Bottleneck, width=12, pool="mean"),
    ),
    "torch-legacy-fake-quantised": Torch(
        "fake quantisation through torch's TorchScript exporter: float biases, weights quantised in the graph",
        fake_quantised=True,
        modules=dict(width=6),
    ),
    "torch-dynamo-fake-quantised": Torch(
        "fake quantisation through torch's dynamo exporter",
        fake_quantised=True,
        per_channel=False,
        opset=18,
        dynamo=True,
    ),
    "oddsight-basic": Oddsight("our own quantiser, batch norm folded", Net(batch_norm=True)),
    "oddsight-bottleneck": Oddsight(
        "our own quantiser, bottleneck, 7x7 stem",
        Net(block="bottleneck", stem="7x7", size=(24, 24), stem_width=8, widths=(12,), opset=17, seed=6),
    ),
}


def stripped(model):
    """Without the exporter's notes: they hold paths of the machine, and are most of the bytes."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    parts = [model.graph.node, model.graph.initializer, model.graph.input, model.graph.output]
    for part in (thing for parts_ in parts for thing in parts_):
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def expectation(spelling, pixels, at, values, logits):
    height, width, _ = pixels.shape
    integer = at.scale is not None
    return {
        "about": spelling.about,
        "width": width,
        "height": height,
        "normalise": {"mean": MEAN.tolist(), "std": STD.tolist()},
        "pixels": pixels.ravel().tolist(),
        "map_type": at.type(),
        "map_scale": at.scale.item() if integer else None,
        "map_zero_point": at.zero_point.item() if integer else None,
        "map_shape": list(values.shape),
        "map": values.ravel().tolist() if integer else [float(str(v)) for v in values.ravel()],
        "logits": [float(str(v)) for v in logits.ravel()],
    }


def one_key_per_line(entries):
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in entries.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def spread(at, values):
    """Smallest, largest, share of zeros (the zero point's) and share at an end of the type."""
    zero = 0 if at.scale is None else at.zero_point.item()
    ends = {"u8": (0, 255), "i8": (-128, 127), "f32": (np.inf, np.inf)}[at.type()]
    saturated = np.isin(values, [end for end in ends if end != zero]).mean()
    return float(values.min()), float(values.max()), float((values == zero).mean()), float(saturated)


def write(name, spelling):
    with tempfile.TemporaryDirectory() as work:
        model = stripped(spelling.model(Path(work)))
    onnx.checker.check_model(model)
    pixels = picture(COMPARED, *spelling.size)
    image = network_input(pixels)
    at, values, logits = reference.evaluate(model, image)
    note = ""
    if at.scale is not None and any(map(reference.is_integer, model.graph.node)):
        share, largest = reference.differences(model, image, values)
        note = f" off the float spelling {100 * share:.1f} % by {largest}"
        assert share <= 0.01 and largest <= 1, f"{name}:{note}"
    low, high, zeros, saturated = spread(at, values)
    content = model.SerializeToString()
    print(
        f"{name:36} {len(content):6} B {at.type()} {low:7.2f} … {high:7.2f}"
        f"  zeros {100 * zeros:4.1f} %  saturated {100 * saturated:4.1f} %{note}",
        flush=True,
    )
    assert high > low and zeros < 0.8 and saturated < 0.1, f"{name}: the map is not spread"
    assert len(content) <= BYTES_LIMIT, f"{name}: {len(content)} bytes"
    assert b"/tmp" not in content and b"/home" not in content, f"{name}: holds a path of this machine"
    (OUT / f"{name}.onnx").write_bytes(content)
    (OUT / f"{name}.json").write_text(one_key_per_line(expectation(spelling, pixels, at, values, logits)))


README = """\
Tiny quantised ResNets with random weights, written by `scripts/make-spellings.py`; nothing here is trained or
copied. `NAME.json` holds one picture, the normalisation `(pixel / 255 - mean) / std`, and what onnxruntime with
all graph optimisation disabled computes for it: the last feature map before the global pool in NCHW order
(integers; `map_type` `f32` and no scale where the network leaves it float), and `logits`, the final layer's
output before a Softmax and before its own quantisation. The i8 weights of QOperator networks with u8 activations
are given to onnxruntime as u8 with a zero point of 128, which means the same: its u8 by i8 kernels saturate on
processors without VNNI.

| network | spelling |
|---|---|
{spellings}

`bad/` holds malformed ones, with one fault each. The error should name the node, or a constant that it reads.
onnxruntime {accepts}.

| network | fault | node |
|---|---|---|
{faults}
"""


def base(name):
    """A network that the malformed ones are made of; the smaller it is the better."""
    plain = small(size=(6, 6), widths=())
    spelling = {
        "qdq": Ort("", plain, options={"QDQKeepRemovableActivations": True}),
        "qdq shortcut": Ort("", small(size=(6, 6), widths=(8,), first_stride=2)),
        "qoperator": Ort("", plain, qoperator=True),
    }[name]
    with tempfile.TemporaryDirectory() as work:
        return stripped(spelling.model(Path(work)))


def accepted(name):
    """Whether onnxruntime runs a malformed network all the same."""
    try:
        model = onnx.load(OUT / "bad" / f"{name}.onnx")
        reference.run(model, None, network_input(picture(COMPARED, 6, 6)))
    except Exception:
        return False
    return True


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or SPELLINGS:
        write(name, SPELLINGS[name])
    faults = bad.write(OUT / "bad", {name: base(name) for name in ("qdq", "qdq shortcut", "qoperator")})
    run = [f"`{name}`" for name, _, _ in faults if accepted(name)]
    accepts = f"runs {', '.join(run)} all the same" if run else "refuses all"
    text = README.format(
        spellings="\n".join(f"| `{name}` | {spelling.about} |" for name, spelling in SPELLINGS.items()),
        faults="\n".join(f"| `{name}` | {about} | `{node}` |" for name, about, node in faults),
        accepts=accepts,
    )
    (OUT / "README.md").write_text(text)


if __name__ == "__main__":
    main()
