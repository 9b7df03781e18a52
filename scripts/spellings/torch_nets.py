"""Small ResNets with torchvision's module names, and torch's two exporters."""

import io
import warnings

import numpy as np
import torch
from torch import nn


class Rounded(nn.Module):
    """A fake-quantised tensor; its range is what passes while `observing`."""

    def __init__(self, channels=None, symmetric=False):
        super().__init__()
        self.channels, self.observing = channels, True
        self.bottom, self.top = (-128, 127) if symmetric else (0, 255)
        self.low = torch.zeros(channels or 1)
        self.high = torch.zeros(channels or 1)

    def observe(self, x):
        flat = x.detach().reshape(self.channels or 1, -1)
        self.low = torch.minimum(self.low, flat.min(1).values)
        self.high = torch.maximum(self.high, flat.max(1).values)

    def freeze(self):
        self.observing = False
        if self.bottom < 0:
            scale = torch.maximum(-self.low, self.high) / 127
            zero = torch.zeros_like(scale)
        else:
            scale = (self.high - self.low) / 255
            zero = torch.round(-self.low / scale)
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero.to(torch.int32))

    def forward(self, x):
        if self.observing:
            self.observe(x)
            return x
        how = (self.scale, self.zero_point)
        if self.channels:
            return torch.fake_quantize_per_channel_affine(x, *how, 0, self.bottom, self.top)
        return torch.fake_quantize_per_tensor_affine(x, *how, self.bottom, self.top)


class Layer(nn.Module):
    """A layer between fake quantisation of its weight and of its output; the bias stays float."""

    def __init__(self, inner, per_channel):
        super().__init__()
        self.inner = inner
        channels = inner.weight.shape[0] if per_channel else None
        self.weight_rounded = Rounded(channels, symmetric=True)

    def forward(self, x):
        weight = self.weight_rounded(self.inner.weight)
        if isinstance(self.inner, nn.Linear):
            return nn.functional.linear(x, weight, self.inner.bias)
        inner = self.inner
        where = (inner.stride, inner.padding, inner.dilation, inner.groups)
        return nn.functional.conv2d(x, weight, inner.bias, *where)


class Style:
    """Which modules a network is made of: plain with batch norm, or fake-quantised without."""

    def __init__(self, fake_quantised=False, per_channel=True):
        self.fake_quantised, self.per_channel = fake_quantised, per_channel

    def conv(self, cin, cout, kernel, stride=1, groups=1, dilation=1):
        where = dict(stride=stride, padding=dilation * (kernel // 2), groups=groups, dilation=dilation)
        inner = nn.Conv2d(cin, cout, kernel, bias=self.fake_quantised, **where)
        return Layer(inner, self.per_channel) if self.fake_quantised else inner

    def norm(self, channels):
        return nn.Identity() if self.fake_quantised else nn.BatchNorm2d(channels)

    def linear(self, width, classes):
        inner = nn.Linear(width, classes)
        return Layer(inner, self.per_channel) if self.fake_quantised else inner

    def rounded(self):
        return Rounded() if self.fake_quantised else nn.Identity()


class BasicBlock(nn.Module):
    def __init__(self, style, cin, cout, stride, groups):
        super().__init__()
        self.conv1, self.bn1 = style.conv(cin, cout, 3, stride, groups), style.norm(cout)
        self.conv2, self.bn2 = style.conv(cout, cout, 3, 1, groups), style.norm(cout)
        self.relu, self.downsample = nn.ReLU(inplace=True), None
        if stride != 1 or cin != cout:
            shortcut = style.conv(cin, cout, 1, stride), style.norm(cout), style.rounded()
            self.downsample = nn.Sequential(*shortcut)
        self.q1, self.q2, self.q3 = style.rounded(), style.rounded(), style.rounded()

    def forward(self, x):
        y = self.q1(self.relu(self.bn1(self.conv1(x))))
        y = self.q2(self.bn2(self.conv2(y)))
        y += x if self.downsample is None else self.downsample(x)
        return self.q3(self.relu(y))


class Bottleneck(nn.Module):
    def __init__(self, style, cin, cout, stride, groups):
        super().__init__()
        inner = cout // 2
        self.conv1, self.bn1 = style.conv(cin, inner, 1), style.norm(inner)
        self.conv2, self.bn2 = style.conv(inner, inner, 3, stride, groups), style.norm(inner)
        self.conv3, self.bn3 = style.conv(inner, cout, 1), style.norm(cout)
        self.relu, self.downsample = nn.ReLU(inplace=True), None
        if stride != 1 or cin != cout:
            shortcut = style.conv(cin, cout, 1, stride), style.norm(cout), style.rounded()
            self.downsample = nn.Sequential(*shortcut)
        self.q1, self.q2, self.q3, self.q4 = (style.rounded() for _ in range(4))

    def forward(self, x):
        y = self.q1(self.relu(self.bn1(self.conv1(x))))
        y = self.q2(self.relu(self.bn2(self.conv2(y))))
        y = self.q3(self.bn3(self.conv3(y)))
        y += x if self.downsample is None else self.downsample(x)
        return self.q4(self.relu(y))


class ResNet(nn.Module):
    """`pool`: "adaptive" as torchvision, "mean" as timm and many CIFAR networks."""

    def __init__(self, block=BasicBlock, style=None, stem="3x3", width=8, groups=1, pool="adaptive"):
        super().__init__()
        style = style or Style()
        self.q0 = style.rounded()
        large = stem == "7x7"
        self.conv1 = style.conv(3, width // 2, 7 if large else 3, 2 if large else 1)
        self.bn1, self.relu, self.q1 = style.norm(width // 2), nn.ReLU(inplace=True), style.rounded()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.layer1 = nn.Sequential(block(style, width // 2, width, 2, groups))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1)) if pool == "adaptive" else None
        self.fc = style.linear(width, 7)

    def forward(self, x):
        x = self.maxpool(self.q1(self.relu(self.bn1(self.conv1(self.q0(x))))))
        x = self.layer1(x)
        x = torch.flatten(self.avgpool(x), 1) if self.avgpool else x.mean((2, 3))
        return self.fc(x)


def trained_like(model, seed, pictures):
    """He weights, random batch-norm parameters with the statistics of the pictures, and ranges."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
            with torch.no_grad():
                module.weight *= torch.exp(0.4 * torch.randn(module.weight.shape[0], 1, 1, 1))
                if module.bias is not None:
                    module.bias.normal_(0.3, 0.3)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0.3, 0.3)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, np.sqrt(2 / module.in_features))
            nn.init.normal_(module.bias, 0, 0.5)
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.from_numpy(np.concatenate(pictures)))
    model.eval()
    for module in model.modules():
        if isinstance(module, Rounded):
            module.freeze()
    return model


def export(model, size, opset, dynamo, dynamic_batch=False):
    """The bytes that the exporter writes."""
    image = torch.zeros(2 if dynamic_batch else 1, 3, size[1], size[0])
    names = dict(input_names=["input"], output_names=["output"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            if dynamic_batch:
                names["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
            how = dict(dynamo=True, opset_version=opset, verbose=False, **names)
            return torch.onnx.export(model, (image,), **how).model_proto.SerializeToString()
        if dynamic_batch:
            names["dynamic_axes"] = {"input": {0: "batch"}, "output": {0: "batch"}}
        out = io.BytesIO()
        torch.onnx.export(model, (image,), out, dynamo=False, opset_version=opset, **names)
        return out.getvalue()
