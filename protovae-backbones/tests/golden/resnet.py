#!/usr/bin/env python3
"""Golden values of the ResNet-18 encoder, for the Rust tests: what the network gives when it is made of PyTorch's own layers.

Needs Python 3, numpy and PyTorch only, some seconds of time:

    pip install numpy torch==2.9.0
    python3 resnet.py                # writes resnet.json beside this file
    python3 resnet.py --check        # recomputes and compares with resnet.json
    python3 resnet.py --torchvision  # compares the network below with torchvision's (pip install torchvision==0.24.0)
    python3 resnet.py --time 2       # times training and evaluation in float32, channels last, on so many threads

Everything is computed in float64 from weights and images by a formula (`draw`) that the Rust side repeats, so that only
results are kept. Names are those of the Rust module; parameters are numbered by their sorted names, the images come last. Each
case has
  training      the output [mean | log variance] for the batch in training mode,
  norms         the Euclidean norm of the gradient of sum(cotangent * training output), by parameter, and of the images',
  gradients     some sixty values of some of these gradients (`shown`),
  statistics    some values of some running statistics after this batch, likewise,
  evaluation    the output for the same batch in evaluation mode after this batch.
"""
import json
import math
import os
import sys
import time

import numpy as np
import torch
from torch import nn

LATENT = 4
SHOWN = ["conv1.weight", "bn1.gamma", "bn1.beta", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
         "layer2.0.downsample.1.gamma", "layer3.0.bn2.beta", "layer4.1.conv2.weight", "tail.hidden.weight", "images"]
STATISTICS = ["bn1.running_mean", "bn1.running_var", "layer2.0.downsample.1.running_mean", "layer4.1.bn2.running_var"]
# Images [N, C, H, W] of each case; grey ones are repeated to three channels.
CASES = {"colour": (5, 3, 40, 49), "grey": (7, 1, 28, 28)}


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        shrinks = stride != 1 or i != o
        self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if shrinks else None

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class Tail(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.hidden, self.posterior = nn.Linear(512, 2 * latent), nn.Linear(2 * latent, 2 * latent)

    def forward(self, x):
        return self.posterior(torch.relu(self.hidden(x)))


class ResNet18(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        i = 64
        for number, o in enumerate((64, 128, 256, 512), 1):
            setattr(self, f"layer{number}", nn.Sequential(Block(i, o, 1 if number == 1 else 2), Block(o, o, 1)))
            i = o
        self.tail = Tail(latent)

    def features(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x.expand(-1, 3, -1, -1)))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))

    def forward(self, x):
        return self.tail(self.features(x))


def draw(number, shape):
    """Values in [-1, 1): splitmix64 of the tensor's number and the value's place."""
    with np.errstate(over="ignore"):
        count = math.prod(shape)
        mixed = (np.arange(count, dtype=np.uint64) + np.uint64((number << 32) + 1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)
    return torch.from_numpy(mixed.astype(np.float64) / 2**23 - 1).reshape(shape)


def rust(net):
    """Our name of each parameter and running statistic: PyTorch's tensor, and whether it lies the other way round."""
    tensors = {}
    for path, module in net.named_modules():
        for name, tensor in list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False)):
            if name == "num_batches_tracked":
                continue
            if isinstance(module, nn.BatchNorm2d):
                name = {"weight": "gamma", "bias": "beta"}.get(name, name)
            tensors[f"{path}.{name}"] = (tensor, isinstance(module, nn.Linear) and name == "weight")
    return tensors


def scaled(name, values):
    """What the drawn values of a parameter become."""
    last = name.rsplit(".", 1)[1]
    if last == "weight":
        fan_in = values[0].numel() if values.dim() == 4 else len(values)
        values = values * math.sqrt(6 / fan_in)
    elif last == "running_var":
        values = 1 + values / 2
    else:
        values = (1 if last == "gamma" else 0) + values / 4
    return values.float().double()


def shown(values):
    """Each value, or each n-th for an odd n that leaves about sixty."""
    return [float(f"{value:.9g}") for value in values.detach().flatten()[::values.numel() // 60 | 1].tolist()]


def case(shape):
    net = ResNet18(LATENT).double()
    tensors = rust(net)
    names = sorted(tensors)
    for number, name in enumerate(names):
        tensor, turned = tensors[name]
        values = scaled(name, draw(number, tensor.T.shape if turned else tensor.shape))
        tensor.data.copy_(values.T if turned else values)
    images = draw(len(names), shape).requires_grad_()
    output = net.train()(images)
    cotangent = draw(len(names) + 1, output.shape)
    (output * cotangent).sum().backward()
    gradients = {name: tensor.grad.T if turned else tensor.grad for name, (tensor, turned) in tensors.items()
                 if tensor.requires_grad}
    gradients["images"] = images.grad
    return {"training": output.flatten().tolist(),
            "norms": {name: gradient.norm().item() for name, gradient in sorted(gradients.items())},
            "gradients": {name: shown(gradients[name]) for name in SHOWN},
            "statistics": {name: shown(tensors[name][0]) for name in STATISTICS},
            "evaluation": net.eval()(images).flatten().tolist()}


def close(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(close, left, right))
    return abs(left - right) <= 1e-8 * (1 + abs(right))


def compare_with_torchvision():
    import torchvision
    torch.manual_seed(0)
    ours, theirs = ResNet18(LATENT), torchvision.models.resnet18()
    theirs.fc = nn.Identity()
    state = {name: tensor for name, tensor in ours.state_dict().items() if not name.startswith("tail.")}
    assert list(state) == list(theirs.state_dict()), "names"
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 65, 80)
    for mode in (True, False):
        left, right = ours.train(mode).features(images), theirs.train(mode)(images)
        assert torch.allclose(left, right, rtol=1e-5, atol=1e-6), (left - right).abs().max()
    deviation = {name: tensor.std().item() for name, tensor in torchvision.models.resnet18().state_dict().items()
                 if tensor.dim() == 4}
    for name, found in deviation.items():
        o, _, h, w = dict(theirs.named_parameters())[name].shape
        assert abs(found / math.sqrt(2 / (o * h * w)) - 1) < 0.05, name
    print("the same names, features and initial spread as torchvision's")


def measure(threads):
    torch.set_num_threads(threads)
    for size, batch in ((32, 64), (224, 8)):
        net = ResNet18(256).to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)

        def train():
            net.train().zero_grad()
            net(images).sum().backward()

        def evaluate():
            with torch.inference_mode():
                net.eval()(images)

        for name, run in (("training", train), ("evaluation", evaluate)):
            times, computed = [], []
            for _ in range(3 if size == 224 else 8):
                start, began = time.perf_counter(), time.process_time()
                run()
                times.append(time.perf_counter() - start)
                computed.append(time.process_time() - began)
            print(f"{name} {batch}×3×{size}×{size}: {1000 * min(times):.1f} ms, computed {1000 * min(computed):.1f} ms")


def main():
    if sys.argv[1:] == ["--torchvision"]:
        return compare_with_torchvision()
    if sys.argv[1:2] == ["--time"]:
        return measure(int(sys.argv[2]) if sys.argv[2:] else 2)
    cases = {name: case(shape) for name, shape in CASES.items()}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resnet.json")
    if sys.argv[1:] == ["--check"]:
        with open(path) as file:
            if not close(json.load(file), cases):
                sys.exit("resnet.json differs from what this program computes")
        print("resnet.json agrees")
        return
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
