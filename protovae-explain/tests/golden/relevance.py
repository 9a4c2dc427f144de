#!/usr/bin/env python3
"""Golden values of relevance propagation, for the Rust tests: each rule by its formula, on dense matrices, in float64.

Needs Python 3 and PyTorch only, a second of time:

    pip install torch==2.9.0
    python3 relevance.py            # writes relevance.json beside this file
    python3 relevance.py --check    # recomputes and compares with relevance.json

No layer is folded by algebra: a canonical layer is whatever affine function stands between two ReLUs (or poolings), and its
matrix is read off by applying PyTorch's own layers to unit vectors. Rules are double sums over that matrix. Weights, images and
prototypes are multiples of 1/64.
"""
import json
import os
import sys

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


class Draw:
    """Multiples of 1/64 from a fixed generator of our own, so that PyTorch's may change."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, shape, low, high):
        values = []
        for _ in range(torch.Size(shape).numel()):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            values.append((low + (self.state >> 33) % (high - low + 1)) / 64)
        # No weight is 0, so that a connection is told from none.
        return torch.tensor([value or 1 / 64 for value in values]).reshape(shape)


def conv(draw, i, o, k, stride=1, padding=1, bias=True):
    return {"type": "conv", "weight": draw((o, i, k, k), -32, 32), "bias": draw((o,), -16, 16) if bias else None,
            "stride": stride, "padding": padding}


def affine(draw, c):
    return {"type": "affine", "scale": draw((c,), -48, 96), "shift": draw((c,), -24, 24)}


def linear(draw, i, o):
    return {"type": "linear", "weight": draw((i, o), -32, 32), "bias": draw((o,), -16, 16)}


def pool(kind, kernel, stride, padding=0):
    return {"type": kind, "kernel": kernel, "stride": stride, "padding": padding}


RELU, FLATTEN = {"type": "relu"}, {"type": "flatten"}


def apply(layer, x):
    kind = layer["type"]
    if kind == "conv":
        return F.conv2d(x, layer["weight"], layer["bias"], layer["stride"], layer["padding"])
    if kind == "affine":
        return x * layer["scale"].reshape(1, -1, 1, 1) + layer["shift"].reshape(1, -1, 1, 1)
    if kind == "linear":
        return x @ layer["weight"] + layer["bias"]
    if kind == "avg":
        return F.avg_pool2d(x, layer["kernel"], layer["stride"])
    if kind == "global":
        return x.mean((2, 3), keepdim=True)
    if kind == "max":
        return F.max_pool2d(x, layer["kernel"], layer["stride"], layer["padding"])
    if kind == "relu":
        return F.relu(x)
    if kind == "flatten":
        return x.flatten(1)
    if kind == "residual":
        return run(layer["body"], x) + run(layer["shortcut"], x)
    raise ValueError(kind)


def run(layers, x):
    for layer in layers:
        x = apply(layer, x)
    return x


def matrix(layers, shape):
    """The affine function that `layers` are: weights [in, out] and biases [out]."""
    size = torch.Size(shape).numel()
    zero = run(layers, torch.zeros(1, *shape))
    units = run(layers, torch.eye(size).reshape(size, *shape))
    return (units - zero).flatten(1), zero.flatten()


def sign(z):
    return torch.where(z >= 0, 1.0, -1.0)


def divide(a, b):
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))


def rule(name, x, w, b, r):
    """Relevance [in] of inputs x [in] for relevance r [out]."""
    if isinstance(name, tuple):
        name, value = name
    else:
        value = 0.0
    z = x[:, None] * w
    if name == "epsilon":
        total = z.sum(0) + b
        return (z * divide(r, total + value * sign(total))).sum(1)
    if name == "alpha-beta":
        up, down = z.clamp(min=0), z.clamp(max=0)
        above = up * divide(r, up.sum(0) + b.clamp(min=0))
        below = down * divide(r, down.sum(0) + b.clamp(max=0))
        return (value * above - (value - 1) * below).sum(1)
    if name == "z-plus":
        up = z.clamp(min=0)
        return (up * divide(r, up.sum(0))).sum(1)
    if name == "gamma":
        up = z + value * z.clamp(min=0)
        down = z + value * z.clamp(max=0)
        total = z.sum(0) + b
        positive = up * divide(r, up.sum(0) + b + value * b.clamp(min=0))
        negative = down * divide(r, down.sum(0) + b + value * b.clamp(max=0))
        return torch.where(total >= 0, positive, negative).sum(1)
    if name == "z-box":
        box = z + w.clamp(min=0) - w.clamp(max=0)
        return (box * divide(r, box.sum(0))).sum(1)
    if name == "flat":
        connected = (w != 0).double()
        return (connected * divide(r, connected.sum(0))).sum(1)
    raise ValueError(name)


PIXELS = ("z-box", 0.0)
EPSILON = ("epsilon", 1e-6)
COMPOSITES = {
    "prp": dict(input=PIXELS, convolution=("alpha-beta", 1.0), linear=EPSILON),
    "epsilon": dict(input=EPSILON, convolution=EPSILON, linear=EPSILON, residual="epsilon"),
    "epsilon-plus-flat": dict(input=("flat", 0.0), convolution=("z-plus", 0.0), linear=EPSILON),
    "epsilon-gamma-box": dict(input=PIXELS, convolution=("gamma", 0.25), linear=EPSILON),
    "alpha2-beta1": dict(input=PIXELS, convolution=("alpha-beta", 2.0), linear=EPSILON),
}


for composite in COMPOSITES.values():
    composite.setdefault("residual", "z-plus")


def canonical(layers):
    """Splits layers into affine functions, ReLUs, poolings and sums: [(kind, layers)]. An affine map a channel goes before the
    convolution or fully connected layer that follows (behind average pooling, which keeps it), or behind the one before."""
    out, waiting = [], []
    for layer in layers:
        kind = layer["type"]
        if kind == "affine" and out and out[-1][0] in ("convolution", "linear") and not waiting:
            out[-1][1].append(layer)
        elif kind == "affine":
            waiting.append(layer)
        elif kind in ("conv", "linear"):
            out.append(("convolution" if kind == "conv" else "linear", waiting + [layer]))
            waiting = []
        elif kind == "flatten" and waiting:
            waiting.append(layer)
        elif kind in ("avg", "global"):
            out.append(("pooling", [layer]))
        else:
            out.append((kind, [layer]))
    return out


def back(layers, x, relevance, composite, first):
    """Relevance of the input `x` [1, ...] for that of the output of `layers`; one after the other, each with its own input."""
    steps, value = [], x
    for kind, part in canonical(layers):
        steps.append((kind, part, value))
        value = run(part, value)
    weighted = [i for i, (kind, *_) in enumerate(steps) if kind in ("convolution", "linear")]
    for index in reversed(range(len(steps))):
        kind, part, value = steps[index]
        shape = value.shape[1:]
        if kind in ("relu", "flatten"):
            relevance = relevance.reshape(value.shape)
        elif kind == "residual":
            body, shortcut = run(part[0]["body"], value), run(part[0]["shortcut"], value)
            if composite["residual"] == "z-plus":
                body, shortcut = body.clamp(min=0), shortcut.clamp(min=0)
            total = body + shortcut
            each = relevance.reshape(total.shape) / (total + 1e-6 * sign(total))
            relevance = (back(part[0]["body"], value, each * body, composite, False)
                         + back(part[0]["shortcut"], value, each * shortcut, composite, False))
        elif kind == "max":
            tracked = value.clone().requires_grad_()
            run(part, tracked).backward(relevance.reshape(run(part, value).shape))
            relevance = tracked.grad
        else:
            weights, biases = matrix(part, shape)
            used = EPSILON if kind == "pooling" else composite[kind]
            if first and weighted and index == weighted[0]:
                used = composite["input"]
            relevance = rule(used, value.flatten(), weights, biases, relevance.flatten()).reshape(value.shape)
    return relevance


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def plain(layer):
    out = {}
    for key, value in layer.items():
        if torch.is_tensor(value):
            out[key] = {"shape": list(value.shape), "values": numbers(value)}
        elif isinstance(value, list):
            out[key] = [plain(inner) for inner in value]
        else:
            out[key] = value
    return out


def case(layers, shape, latent, draw):
    """`layers` end with the mean alone."""
    image = draw((1, *shape), -64, 64)
    mean = run(layers, image)[0]
    apart = (mean - draw((2, latent), -64, 64)) ** 2
    distance = apart.sum(1, keepdim=True)
    similarity = torch.log((distance + 1) / (distance + 1e-4))
    shares = 1 / (apart + 1e-3)
    start = similarity * shares / shares.sum(1, keepdim=True)
    relevance = {name: [numbers(back(layers, image, row.reshape(1, -1), composite, True)) for row in start]
                 for name, composite in COMPOSITES.items()}
    return {"shape": list(shape), "layers": [plain(layer) for layer in layers], "image": numbers(image),
            "mean": numbers(mean), "start": [numbers(row) for row in start], "relevance": relevance}


def cases():
    draw = Draw(7)
    small = [conv(draw, 1, 3, 3), RELU, affine(draw, 3), pool("avg", 2, 2),
             conv(draw, 3, 4, 3), RELU, affine(draw, 4), pool("avg", 2, 2),
             FLATTEN, linear(draw, 16, 5), RELU, linear(draw, 5, 3)]
    strided = [conv(draw, 2, 3, 3), RELU, affine(draw, 3), conv(draw, 3, 4, 4, 2, 1), RELU, affine(draw, 4),
               FLATTEN, linear(draw, 36, 4), RELU, linear(draw, 4, 3)]
    block = {"type": "residual", "body": [conv(draw, 3, 3, 3, bias=False), affine(draw, 3), RELU,
                                          conv(draw, 3, 3, 3, bias=False), affine(draw, 3)], "shortcut": []}
    down = {"type": "residual", "body": [conv(draw, 3, 4, 3, 2, bias=False), affine(draw, 4), RELU,
                                         conv(draw, 4, 4, 3, bias=False), affine(draw, 4)],
            "shortcut": [conv(draw, 3, 4, 1, 2, 0, bias=False), affine(draw, 4)]}
    residual = [conv(draw, 2, 3, 3, 1, bias=False), affine(draw, 3), RELU, pool("max", 3, 2, 1), block, RELU, down, RELU,
                pool("global", 0, 0), FLATTEN, linear(draw, 4, 5), RELU, linear(draw, 5, 3)]
    return {"pooled": case(small, (1, 8, 8), 3, draw), "strided": case(strided, (2, 6, 6), 3, draw),
            "residual": case(residual, (2, 9, 8), 3, draw)}


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relevance.json")
    found = json.loads(json.dumps(cases()))
    if "--check" in sys.argv:
        def close(a, b):
            if isinstance(a, dict):
                return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
            if isinstance(a, list):
                return len(a) == len(b) and all(map(close, a, b))
            if isinstance(a, float):
                return abs(a - b) <= 1e-6 * max(1.0, abs(b))
            return a == b
        with open(path) as file:
            same = close(found, json.load(file))
        print("relevance.json is as computed" if same else "relevance.json differs")
        sys.exit(0 if same else 1)
    with open(path, "w") as file:
        json.dump(found, file)
        file.write("\n")


main()
