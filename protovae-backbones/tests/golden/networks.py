#!/usr/bin/env python3
"""Golden values of a pooled encoder, a strided encoder and a decoder, for the Rust tests: what PyTorch's own layers give.

Needs Python 3 and PyTorch only, a second of time:

    pip install torch==2.9.0
    python3 networks.py            # writes networks.json beside this file
    python3 networks.py --check    # recomputes and compares with networks.json

Everything is computed in float64 from weights and inputs that are multiples of 1/64. Names and layouts are those of the Rust
modules: batch normalisation has gamma and beta, and weights of fully connected layers are [in, out]. Each case has
  inputs, parameters   what to start from (running statistics included),
  training             the output for the batch in training mode,
  gradients            of sum(cotangent * training output), by parameter,
  statistics           the running statistics after this batch,
  evaluation           the output for the same batch in evaluation mode after this batch.
"""
import json
import os
import sys

import torch
from torch import nn


def conv(name, i, o, k=3, s=1, p=1, pool=False):
    layers = [(f"{name}.convolution", nn.Conv2d(i, o, k, s, p)), (None, nn.ReLU()), (f"{name}.normalization", nn.BatchNorm2d(o))]
    return layers + [(None, nn.AvgPool2d(2, 2))] * pool


def up(name, i, o):
    return [(f"{name}.convolution", nn.ConvTranspose2d(i, o, 4, 2, 1)), (None, nn.ReLU()), (f"{name}.normalization", nn.BatchNorm2d(o))]


def tail(features, latent):
    return [(None, nn.Flatten()), ("tail.hidden", nn.Linear(features, 2 * latent)), (None, nn.ReLU()),
            ("tail.posterior", nn.Linear(2 * latent, 2 * latent))]


# name: (shape of the input, layers). The recipes of the Rust side stand in its test.
CASES = {
    "pooled": ((3, 2, 9, 7), conv("blocks.0", 2, 3, pool=True) + conv("blocks.1", 3, 4, pool=True) + tail(4 * 2 * 1, 2)),
    "strided": ((3, 1, 7, 8), conv("blocks.0", 1, 2) + conv("blocks.1", 2, 2, 4, 2, 1) + tail(2 * 3 * 4, 2)),
    "decoder": ((4, 3), [("start.linear", nn.Linear(3, 12)), (None, nn.ReLU()), ("start.normalization", nn.BatchNorm1d(12)),
                         (None, nn.Unflatten(1, (3, 2, 2)))]
                + conv("stages.0", 3, 2) + up("stages.1", 2, 3) + conv("stages.2", 3, 2, p=2) + up("stages.3", 2, 2)
                + [("output", nn.Conv2d(2, 2, 3, 1, 1)), (None, nn.Tanh())]),
}


class Draw:
    """Multiples of 1/64 from a fixed generator of our own, so that PyTorch's may change."""

    def __init__(self):
        self.state = 1

    def __call__(self, shape, low, high):
        values = []
        for _ in range(torch.Size(shape).numel()):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            values.append((low + (self.state >> 33) % (high - low + 1)) / 64)
        return torch.tensor(values, dtype=torch.float64).reshape(shape)


def rust(module, name, tensor):
    """Our name and layout of a parameter."""
    if isinstance(module, nn.Linear) and name == "weight":
        return name, tensor.T
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        name = {"weight": "gamma", "bias": "beta"}.get(name, name)
    return name, tensor


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def case(shape, layers, draw):
    net = nn.Sequential(*(layer for _, layer in layers)).double()
    named = [(name, layer) for name, layer in layers if name]
    parameters = {}
    for path, layer in named:
        for name, tensor in list(layer.named_parameters()) + list(layer.named_buffers()):
            if name == "num_batches_tracked":
                continue
            low, high = {"running_var": (16, 128)}.get(name, (-32, 32))
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and name == "weight":
                low, high = 32, 96
            tensor.data.copy_(draw(tensor.shape, low, high))
            ours, value = rust(layer, name, tensor)
            parameters[f"{path}.{ours}"] = numbers(value)
    inputs = draw(shape, -64, 64)
    output = net.train()(inputs)
    cotangent = draw(output.shape, -64, 64)
    (output * cotangent).sum().backward()
    gradients, statistics = {}, {}
    for path, layer in named:
        for name, tensor in layer.named_parameters():
            ours, value = rust(layer, name, tensor.grad)
            gradients[f"{path}.{ours}"] = numbers(value)
        for name, tensor in layer.named_buffers():
            if name != "num_batches_tracked":
                statistics[f"{path}.{name}"] = numbers(tensor)
    return {"inputs": numbers(inputs), "parameters": parameters, "training": numbers(output), "cotangent": numbers(cotangent),
            "gradients": gradients, "statistics": statistics, "evaluation": numbers(net.eval()(inputs))}


def close(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
    return len(left) == len(right) and all(abs(a - b) <= 1e-8 * (1 + abs(b)) for a, b in zip(left, right))


def main():
    draw = Draw()
    cases = {name: case(shape, layers, draw) for name, (shape, layers) in CASES.items()}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks.json")
    if sys.argv[1:] == ["--check"]:
        with open(path) as file:
            same = json.load(file)
        if same.keys() != cases.keys() or not all(close(cases[name], same[name]) for name in cases):
            sys.exit("networks.json differs from what this program computes")
        print("networks.json agrees")
        return
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
