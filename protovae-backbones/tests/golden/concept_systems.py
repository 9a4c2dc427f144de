#!/usr/bin/env python3
"""Golden values of SENN and FLINT, for the Rust tests: every loss term and its gradients, by PyTorch's autograd.

Needs Python 3 and PyTorch only, a few seconds of time:

    pip install torch==2.9.0
    python3 concept_systems.py            # writes concept_systems.json beside this file
    python3 concept_systems.py --check    # recomputes and compares with concept_systems.json

Written from the published formulas. Everything is computed in float64 from weights and inputs that are multiples of 1/64.
Names and layouts are those of the Rust modules: batch normalisation has gamma and beta, and weights of fully connected layers
are [in, out]. Parameters that a gradient does not reach are left out of it.

SENN's robustness penalty is ‖∇_x f − thetaᵀ·J_h‖² summed over classes. `exact` is computed from its definition, with the
derivatives of f and of h by autograd, in evaluation mode; its gradient is PyTorch's double backward. `along` is the central
difference along two given directions, in training mode, with images and displaced copies in one batch.
"""
import json
import os
import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss

from networks import Draw, close, conv, numbers, rust, up

STEP = 0.01
CLASSES, CONCEPTS, ATTRIBUTES, LATENT = 3, 4, 5, 3
IMAGES = (3, 1, 8, 8)
LABELS = [0, 2, 1]


class Named:
    """Layers by the names that the Rust modules have."""

    def __init__(self):
        self.named = []

    def sequence(self, prefix, layers):
        self.named += [(f"{prefix}.{name}", layer) for name, layer in layers if name]
        return nn.Sequential(*(layer for _, layer in layers)).double()

    def layer(self, name, layer):
        self.named.append((name, layer.double()))
        return layer

    def draw(self, draw):
        parameters = {}
        for path, layer in self.named:
            for name, tensor in list(layer.named_parameters()) + list(layer.named_buffers()):
                if name == "num_batches_tracked":
                    continue
                low, high = {"running_var": (16, 128)}.get(name, (-32, 32))
                if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and name == "weight":
                    low, high = 32, 96
                tensor.data.copy_(draw(tensor.shape, low, high))
                ours, value = rust(layer, name, tensor)
                parameters[f"{path}.{ours}"] = numbers(value)
        return parameters

    def gradients(self, loss):
        """Of a loss with respect to each parameter, without summing into .grad."""
        found = {}
        tensors = [(path, layer, name, tensor) for path, layer in self.named for name, tensor in layer.named_parameters()]
        gradients = torch.autograd.grad(loss, [tensor for *_, tensor in tensors], retain_graph=True, allow_unused=True)
        for (path, layer, name, _), gradient in zip(tensors, gradients):
            if gradient is not None:
                ours, value = rust(layer, name, gradient)
                found[f"{path}.{ours}"] = numbers(value)
        return found

    def mode(self, training):
        for _, layer in self.named:
            layer.train(training)

    def statistics_kept(self):
        """The running statistics stay as they were drawn: each case starts from them."""
        for _, layer in self.named:
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layer.momentum = 0.0


def end(prefix, features, hidden, outputs):
    return [(None, nn.Flatten()), (f"{prefix}.hidden", nn.Linear(features, hidden)), (None, nn.ReLU()),
            (f"{prefix}.output", nn.Linear(hidden, outputs))]


def decoder(latent):
    return ([("start.linear", nn.Linear(latent, 32)), (None, nn.ReLU()), ("start.normalization", nn.BatchNorm1d(32)),
             (None, nn.Unflatten(1, (2, 4, 4)))] + up("stages.0", 2, 2) + [("output", nn.Conv2d(2, 1, 3, 1, 1)), (None, nn.Tanh())])


def case_of(net, terms):
    return {"terms": {name: numbers(term) for name, term in terms.items()},
            "gradients": {name: net.gradients(term) for name, term in terms.items() if term.requires_grad}}


def senn(draw):
    net = Named()
    features = lambda: conv("features.blocks.0", 1, 2, pool=True) + conv("features.blocks.1", 2, 3, pool=True)
    h = net.sequence("conceptizer", features() + end("end", 3 * 2 * 2, 2 * LATENT, CONCEPTS))
    theta = net.sequence("parametrizer", features() + end("end", 3 * 2 * 2, 2 * LATENT, CONCEPTS * CLASSES))
    decode = net.sequence("decoder", decoder(CONCEPTS))
    parameters = net.draw(draw)
    net.statistics_kept()
    images, labels = draw(IMAGES, -64, 64), torch.tensor(LABELS)
    directions = draw((2, *IMAGES), -96, 96)

    def weights(x):
        return theta(x).reshape(-1, CLASSES, CONCEPTS)

    def logits(x):
        return (weights(x) * h(x)[:, None]).sum(2)

    net.mode(True)
    terms = {"prediction": cross_entropy(logits(images), labels), "reconstruction": mse_loss(decode(h(images)), images),
             "sparsity": h(images).abs().sum(1).mean()}
    training = case_of(net, terms)

    copies = [images] + [images + sign * STEP * u for u in directions for sign in (1, -1)]
    every = weights(torch.cat(copies)).chunk(5)
    changes = [((every[2 * i + 1] - every[2 * i + 2]) * h(images)[:, None]).sum(2) / (2 * STEP) for i in range(2)]
    along = sum((change**2).sum(1) for change in changes)

    net.mode(False)
    x = images.clone().requires_grad_(True)
    f, concepts, theta_x = logits(x), h(x), weights(x)
    total = 0
    for k in range(CLASSES):
        gradient = torch.autograd.grad(f[:, k].sum(), x, create_graph=True)[0]
        for i in range(CONCEPTS):
            jacobian = torch.autograd.grad(concepts[:, i].sum(), x, create_graph=True)[0]
            gradient = gradient - theta_x[:, k, i].reshape(-1, 1, 1, 1) * jacobian
        total = total + (gradient**2).flatten(1).sum(1)
    return {"parameters": parameters, "images": numbers(images), "directions": numbers(directions), "training": training,
            "along": {"values": numbers(along), "gradients": net.gradients(along.sum())},
            "exact": {"values": numbers(total), "gradients": net.gradients(total.sum())},
            "evaluation": numbers(logits(images))}


def entropy(values):
    logarithms = log_softmax(values, 1)
    return -(logarithms.exp() * logarithms).sum(1)


def flint(draw):
    net = Named()
    first = net.sequence("features", conv("blocks.0", 1, 2, pool=True))
    second = net.sequence("features", conv("blocks.1", 2, 3, pool=True))
    embed = net.sequence("embedding", [(name and name[4:], layer) for name, layer in end("end", 12, 2 * LATENT, LATENT)])
    predictor = net.layer("predictor", nn.Linear(LATENT, CLASSES))
    stages = [net.sequence("stages", conv(str(i), c, 2)) for i, c in enumerate((2, 3))]
    attributes = net.layer("attributes", nn.Linear(2 * 16 + 2 * 4, ATTRIBUTES))
    interpreter = net.layer("interpreter", nn.Linear(ATTRIBUTES, CLASSES))
    decode = net.sequence("decoder", decoder(ATTRIBUTES))
    parameters = net.draw(draw)
    net.statistics_kept()
    images, labels = draw(IMAGES, -64, 64), torch.tensor(LABELS)

    def forward(x):
        early = first(x)
        late = second(early)
        f = predictor(torch.relu(embed(late)))
        seen = torch.cat([stage(maps).flatten(1) for stage, maps in zip(stages, (early, late))], 1)
        phi = torch.relu(attributes(seen))
        return f, phi, interpreter(phi)

    net.mode(True)
    f, phi, g = forward(images)
    terms = {
        "prediction": cross_entropy(f, labels),
        "log-predictor": -(g.softmax(1) * f.log_softmax(1)).sum(1).mean(),
        "log-interpreter": -(f.softmax(1) * g.log_softmax(1)).sum(1).mean(),
        "input_fidelity": mse_loss(decode(phi), images),
        "conciseness": entropy(phi).mean(),
        "diversity": -entropy(phi.mean(0, keepdim=True)).mean(),
        "sparsity": phi.abs().sum(1).mean(),
        "predictor_error": (f.argmax(1) != labels).double().mean(),
        "interpreter_error": (g.argmax(1) != labels).double().mean(),
    }
    training = case_of(net, terms)
    net.mode(False)
    f, phi, g = forward(images)
    return {"parameters": parameters, "images": numbers(images), "training": training,
            "evaluation": {"predictor": numbers(f), "interpreter": numbers(g), "attributes": numbers(phi)}}


def main():
    draw = Draw()
    cases = {"senn": senn(draw), "flint": flint(draw)}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "concept_systems.json")
    if sys.argv[1:] == ["--check"]:
        with open(path) as file:
            stored = json.load(file)
        agree = stored.keys() == cases.keys() and all(close(cases[name], stored[name]) for name in cases)
        print("the same as concept_systems.json" if agree else "DIFFERENT from concept_systems.json")
        sys.exit(0 if agree else 1)
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
