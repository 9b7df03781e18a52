#!/usr/bin/env python3
"""Writes the networks that scripts/bench-peers compares: make-bench-models.py DIR [--quantizer NAME] [MODEL ...]

    pip install -r scripts/bench-peers.d/requirements.txt

Of each model, DIR gets MODEL.float.onnx; MODEL.onnxruntime.onnx or MODEL.oddsight.onnx, the same in int8 (QDQ, u8
activations, a weight scale per channel); MODEL.picture, one picture's bytes; MODEL.input, the same normalised.
Weights are random and sized as trained ones are, with batch norm folded: time does not depend on their values.
What is there is not written again.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from spellings.nets import Net, float_model
from spellings.pictures import COMPARED, calibration, network_input, picture

ROOT = Path(__file__).resolve().parent.parent
LARGE = dict(size=(224, 224), stem="7x7", classes=1000)
RESNET18 = dict(stem_width=64, widths=(64, 128, 256, 512), depths=(2, 2, 2, 2), first_stride=1, branch_gain=0.5)
RESNET50 = dict(
    block="bottleneck",
    squeeze=4,
    stem_width=64,
    widths=(256, 512, 1024, 2048),
    depths=(3, 4, 6, 3),
    first_stride=1,
    branch_gain=0.25,
)
MODELS = {
    "resnet18-32": Net(size=(32, 32), classes=10, **RESNET18),
    "resnet18-224": Net(**LARGE, **RESNET18),
    "resnet50-224": Net(**LARGE, **RESNET50),
}
CALIBRATION_PICTURES = 8


class Pictures(CalibrationDataReader):
    def __init__(self, size):
        self.rows = iter(calibration(size, CALIBRATION_PICTURES))

    def get_next(self):
        image = next(self.rows, None)
        return None if image is None else {"image": image}


def by_onnxruntime(source, out, net, _trainer):
    types = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    quantize_static(source, out, Pictures(net.size), quant_format=QuantFormat.QDQ, per_channel=True, **types)


def by_oddsight(source, out, net, trainer):
    from PIL import Image

    with tempfile.TemporaryDirectory() as pictures:
        for seed in range(CALIBRATION_PICTURES):
            Image.fromarray(picture(seed, *net.size)).save(f"{pictures}/{seed:02}.png")
        mean_std = ["--mean", "0.4914,0.4822,0.4465", "--std", "0.2470,0.2435,0.2616"]
        files = ["--backbone", source, "--data", pictures, "--out", out]
        subprocess.run([str(word) for word in [trainer, "quantize", *files, *mean_std]], check=True)


QUANTIZERS = {"onnxruntime": by_onnxruntime, "oddsight": by_oddsight}


def write(directory, name, quantizer, trainer):
    net, source = MODELS[name], directory / f"{name}.float.onnx"
    unfinished = directory / "unfinished.onnx"
    if not source.exists():
        print(f"{source}: writing", flush=True)
        pixels = picture(COMPARED, *net.size)
        (directory / f"{name}.picture").write_bytes(pixels.tobytes())
        (directory / f"{name}.input").write_bytes(network_input(pixels).astype("<f4").tobytes())
        onnx.save(float_model(net), unfinished)
        unfinished.rename(source)
    out = directory / f"{name}.{quantizer}.onnx"
    if not out.exists():
        print(f"{out}: quantising", flush=True)
        QUANTIZERS[quantizer](source, unfinished, net, trainer)
        unfinished.rename(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--quantizer", choices=QUANTIZERS, default="onnxruntime")
    parser.add_argument("--trainer", type=Path, default=ROOT / "target" / "release" / "oddsight-train")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    for name in args.models:
        write(args.directory, name, args.quantizer, args.trainer)


if __name__ == "__main__":
    main()
