#!/usr/bin/env python3
"""Golden values of ProtoPNet for the Rust tests: losses, gradients, a push, the last layer, pruning.

Written from the publication's formulas (Chen et al. 2019) with PyTorch in float64 and plain autograd. Needs Python 3, PyTorch and
NumPy only, no network, a second of time:

    pip install torch==2.9.0 numpy
    python3 protopnet.py            # writes protopnet.json beside this file
    python3 protopnet.py --check    # recomputes and compares with protopnet.json

The network: convolution 3x3 with padding 1, ReLU, batch normalisation, 2x2 average pooling; 1x1 convolution, ReLU, 1x1
convolution, sigmoid; distances of patches to prototypes; similarities; a linear layer. Every input is a multiple of 1/64, so
float32 holds it exactly. Arrays are flat, row-major; fully connected weights are [in, out] as the Rust layers have them.
"""
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

K, M, CHANNELS, WIDTH, SIDE, N = 3, 2, 5, 4, 8, 9
EPSILON = 1e-4
LABELS = [0, 1, 2, 0, 1, 2, 0, 0, 2]
CROSS_ENTROPY, CLUSTER, SEPARATION, L1 = 1.0, 0.8, 0.08, 1e-2
RATE, ITERATIONS = 0.05, 20
NEIGHBOURS, THRESHOLD = 4, 2
GENERATOR = np.random.default_rng(20190626)


def draw(shape, low, high):
    values = GENERATOR.uniform(low, high, size=shape)
    return torch.tensor(np.round(values * 64) / 64, dtype=torch.float64)


def inputs():
    off = torch.ones(K, K * M, dtype=torch.float64)
    for p in range(K * M):
        off[p // M, p] = 0
    parameters = {
        "features.blocks.0.convolution.weight": draw((WIDTH, 1, 3, 3), -1, 1),
        "features.blocks.0.convolution.bias": draw((WIDTH,), -0.5, 0.5),
        "features.blocks.0.normalization.gamma": draw((WIDTH,), 0.5, 1.5),
        "features.blocks.0.normalization.beta": draw((WIDTH,), -0.5, 0.5),
        "features.blocks.0.normalization.running_mean": draw((WIDTH,), 0, 1),
        "features.blocks.0.normalization.running_var": draw((WIDTH,), 0.5, 1.5),
        "add_on.first.weight": draw((WIDTH, CHANNELS), -1, 1),
        "add_on.first.bias": draw((CHANNELS,), -0.5, 0.5),
        "add_on.second.weight": draw((CHANNELS, CHANNELS), -1, 1),
        "add_on.second.bias": draw((CHANNELS,), -0.5, 0.5),
        "prototypes": draw((K * M, CHANNELS), 0, 1),
        "last_layer": draw((K, K * M), -1, 1),
    }
    return parameters, draw((N, 1, SIDE, SIDE), -1, 1), off


def patches(p, images, training):
    """[N, CHANNELS, h, w]"""
    block = "features.blocks.0."
    maps = F.relu(F.conv2d(images, p[block + "convolution.weight"], p[block + "convolution.bias"], padding=1))
    norm = block + "normalization."
    maps = F.batch_norm(maps, p[norm + "running_mean"].clone(), p[norm + "running_var"].clone(), p[norm + "gamma"],
                        p[norm + "beta"], training=training)
    maps = F.avg_pool2d(maps, 2)
    for layer in ["first", "second"]:
        weight = p[f"add_on.{layer}.weight"].t()[:, :, None, None]
        maps = F.conv2d(maps, weight, p[f"add_on.{layer}.bias"])
        maps = F.relu(maps) if layer == "first" else torch.sigmoid(maps)
    return maps


def distances(z, prototypes):
    """[N, P, h, w], one prototype and one patch at a time."""
    n, _, h, w = z.shape
    rows = []
    for i in range(n):
        for p in range(K * M):
            for y in range(h):
                for x in range(w):
                    rows.append(((z[i, :, y, x] - prototypes[p]) ** 2).sum())
    return torch.stack(rows).reshape(n, K * M, h, w)


def similarity(d):
    return torch.log((d + 1) / (d + EPSILON))


def terms(p, images, off, training):
    apart = distances(patches(p, images, training), p["prototypes"])
    nearest = apart.flatten(2).min(dim=2).values
    logits = similarity(nearest) @ p["last_layer"].t()
    own, other = [], []
    for i, label in enumerate(LABELS):
        own.append(torch.stack([nearest[i, q] for q in range(K * M) if q // M == label]).min())
        other.append(torch.stack([nearest[i, q] for q in range(K * M) if q // M != label]).min())
    return {
        "prediction": F.cross_entropy(logits, torch.tensor(LABELS)),
        "cluster": torch.stack(own).mean(),
        "separation": torch.stack(other).mean(),
        "l1": (p["last_layer"].abs() * off).sum(),
    }, logits


def upsample(values):
    large = F.interpolate(values[None, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return large[0, 0].numpy()


def push(p, images):
    z = patches(p, images, False)
    apart = distances(z, p["prototypes"])
    moved, places = p["prototypes"].clone(), []
    for q in range(K * M):
        best = None
        for i, label in enumerate(LABELS):
            if label != q // M:
                continue
            for y in range(z.shape[2]):
                for x in range(z.shape[3]):
                    d = apart[i, q, y, x].item()
                    if best is None or d < best[0]:
                        best = (d, i, y, x)
        _, i, y, x = best
        moved[q] = z[i, :, y, x]
        places.append([i, y, x])
    for q, place in enumerate(places):
        i = place[0]
        large = upsample(similarity(((z[i] - moved[q][:, None, None]) ** 2).sum(0)))
        ys, xs = np.nonzero(large >= np.percentile(large, 95))
        place += [int(ys.min()), int(xs.min()), int(ys.max() - ys.min() + 1), int(xs.max() - xs.min() + 1)]
    return moved, places


def pruned(similarities):
    kept = []
    for q in range(K * M):
        order = sorted(range(N), key=lambda i: -similarities[i, q].item())[:NEIGHBOURS]
        kept.append(int(sum(LABELS[i] == q // M for i in order) >= THRESHOLD))
    return kept


def last_layer(weights, similarities, kept, off):
    """Full batches, so that their order plays no part."""
    kept = torch.tensor(kept, dtype=torch.float64)
    weights = weights.clone().requires_grad_()
    adam = torch.optim.Adam([weights], lr=RATE, eps=1e-8)
    objectives = []
    for step in range(ITERATIONS + 1):
        used = weights * kept
        loss = CROSS_ENTROPY * F.cross_entropy(similarities @ used.t(), torch.tensor(LABELS)) + L1 * (used.abs() * off).sum()
        objectives.append(loss.item())
        if step == ITERATIONS:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
    return weights.detach(), [objectives[0], objectives[-1]]


def numbers(tensor):
    return [float(f"{v:.12g}") for v in tensor.detach().flatten().tolist()]


def compute():
    p, images, off = inputs()
    golden = {"images": numbers(images), "labels": LABELS, "parameters": {k: numbers(v) for k, v in p.items()}}
    golden["neighbours"], golden["threshold"] = NEIGHBOURS, THRESHOLD
    golden["l1_weight"], golden["rate"], golden["iterations"] = L1, RATE, ITERATIONS
    for mode in ["training", "evaluation"]:
        leaves = {k: v.clone().requires_grad_("running" not in k) for k, v in p.items()}
        found, logits = terms(leaves, images, off, mode == "training")
        total = (CROSS_ENTROPY * found["prediction"] + CLUSTER * found["cluster"] - SEPARATION * found["separation"]
                 + L1 * found["l1"])
        total.backward()
        golden[mode] = {
            "terms": {k: numbers(v)[0] for k, v in found.items()},
            "total": numbers(total)[0],
            "logits": numbers(logits),
            "gradients": {k: numbers(v.grad) for k, v in leaves.items() if v.grad is not None},
        }
    moved, places = push(p, images)
    z = patches(p, images, False)
    similarities = similarity(distances(z, moved).flatten(2).min(dim=2).values)
    everything, kept = [1] * (K * M), pruned(similarities)
    assert 0 < sum(kept) < K * M, kept
    golden["push"] = {"prototypes": numbers(moved), "places": places}
    for name, used in [("all", everything), ("pruned", kept)]:
        weights, objectives = last_layer(p["last_layer"], similarities, used, off)
        golden[name] = {"kept": used, "weights": numbers(weights), "objectives": objectives}
    return golden


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


if __name__ == "__main__":
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "protopnet.json")
    golden = compute()
    if "--check" in sys.argv:
        with open(path) as file:
            assert same(golden, json.load(file)), "differs"
    else:
        with open(path, "w") as file:
            json.dump(golden, file, indent=None, separators=(",", ":"))
            file.write("\n")
