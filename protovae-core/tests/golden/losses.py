#!/usr/bin/env python3
"""Golden values of ProtoVAE's losses and their gradients, for the Rust tests.

Written straight from the published formulas (ProtoVAE, NeurIPS 2022, and its supplement's Eq. 3-7) with PyTorch in float64 and
plain autograd: one loop per sum, nothing fused. Needs Python 3 and PyTorch only, no network, a second of time:

    pip install torch==2.9.0
    python3 losses.py            # writes losses.json beside this file
    python3 losses.py --check    # recomputes and compares with losses.json

Every input is a multiple of 1/64, so float32 holds it exactly. Numbers are rounded to 12 significant digits. Arrays are flat,
row-major. Prototypes are ordered by class: number k * M + j is prototype j of class k.

Conventions where the formulas leave a choice:
  * log_variance is clamped to [-log 1e8, log 1e8] before every use; its gradient is 0 outside.
  * the euclidean distance has gradient 0 where the distance is 0.
  * "positive" weights keep a similarity s only where kl * s > 0, then divide by the sum of what is kept. Where nothing is kept (all
    own-class KL are 0) the weights are 0, and so is the mixture. Whether an entry is kept is a constant; the weights are not:
    gradients flow through the similarities.
  * the reconstruction is a free input, not a function of z.
  * all four terms of a total have weight 1.
"""
import json
import math
import os
import sys

import torch

EPSILON = 1e-4
LIMIT = math.log(1e8)
INPUTS = ["images", "reconstruction", "mean", "log_variance", "noise", "labels", "prototypes", "classifier"]
DIFFERENTIATED = ["mean", "log_variance", "prototypes", "classifier", "reconstruction"]
# The named combinations of choices: z, distance, sum or mean over pixels, and over latent dimensions, mixture weights, norm of the
# orthonormality term, sum or mean over classes.
CONVENTIONS = {
    "paper": ("sampled", "squared", "sum", "sum", "all", "squared", "sum"),
    "reference2022": ("mean", "euclidean", "mean", "mean", "positive", "over-dimensions", "mean"),
    "sampled-mean": ("sampled", "euclidean", "mean", "mean", "positive", "frobenius", "mean"),
}


class Case:
    """One set of inputs, and every formula applied to it."""

    def __init__(self, inputs, dims):
        self.__dict__.update(inputs)
        self.__dict__.update(dims)
        self.log_variance_clamped = self.log_variance.clamp(-LIMIT, LIMIT)
        self.z = {"mean": self.mean, "sampled": self.mean + torch.exp(self.log_variance_clamped / 2) * self.noise}

    def distance(self, z, kind):  # [N, K*M]
        rows = []
        for i in range(self.n):
            row = []
            for p in range(self.k * self.m):
                d = ((self.z[z][i] - self.prototypes[p]) ** 2).sum()
                if kind == "euclidean":
                    d = torch.sqrt(d) if d > 0 else torch.zeros((), dtype=d.dtype)
                row.append(d)
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def similarity(self, z, kind):  # [N, K*M]
        d = self.distance(z, kind)
        return torch.log((d + 1) / (d + EPSILON))

    def logits(self, z, kind):  # [N, K]
        return self.similarity(z, kind) @ self.classifier.T

    def cross_entropy(self, z, kind):
        log_probability = torch.log_softmax(self.logits(z, kind), dim=1)
        return -sum(log_probability[i, self.labels[i]] for i in range(self.n)) / self.n

    def kl_to(self, i, p, over):
        """KL(N(mean_i, sigma_i) || N(prototype p, I)), summed or averaged over latent dimensions."""
        log_variance = self.log_variance_clamped[i]
        terms = 0.5 * (torch.exp(log_variance) + (self.mean[i] - self.prototypes[p]) ** 2 - 1 - log_variance)
        return terms.sum() if over == "sum" else terms.mean()

    def own(self, i):
        """The numbers of the prototypes of sample i's class."""
        return [self.labels[i] * self.m + j for j in range(self.m)]

    def kl(self, over):  # [N, M]
        return torch.stack([torch.stack([self.kl_to(i, p, over) for p in self.own(i)]) for i in range(self.n)])

    def weights(self, z, kind, which):  # [N, M]
        similarity, kl, rows = self.similarity(z, kind), self.kl("sum"), []
        for i in range(self.n):
            s = similarity[i, self.own(i)]
            if which == "positive":
                s = torch.where(kl[i] * s > 0, s, torch.zeros_like(s))
            rows.append(s / s.sum() if s.sum() > 0 else torch.zeros_like(s))
        return torch.stack(rows)

    def mixture_kl(self, z, kind, which, over):
        return (self.weights(z, kind, which) * self.kl(over)).sum(dim=1).mean()

    def squared_errors(self, i):
        return ((self.images[i] - self.reconstruction[i]) ** 2).sum()

    def reconstruction_loss(self, over):
        loss = sum(self.squared_errors(i) for i in range(self.n)) / self.n
        return loss if over == "sum" else loss / (self.channels * self.height * self.width)

    def orthonormality(self, norm, over):
        total = 0.0
        for k in range(self.k):
            bank = self.prototypes[k * self.m:(k + 1) * self.m]  # [M, L]: the transpose of the formula's matrix
            centred = bank - bank.mean(dim=0)
            gram = centred.T @ centred if norm == "over-dimensions" else centred @ centred.T
            square = ((gram - torch.eye(len(gram), dtype=bank.dtype)) ** 2).sum()
            total = total + (square if norm == "squared" else torch.sqrt(square))
        return total if over == "sum" else total / self.k

    def eq3(self):
        """-ELBO as the full sum over samples, classes and prototypes, with the choices of convention paper."""
        similarity, total = self.similarity("sampled", "squared"), 0.0
        for i in range(self.n):
            for k in range(self.k):
                of_class = similarity[i, k * self.m:(k + 1) * self.m]
                for j in range(self.m):
                    y = 1.0 if self.labels[i] == k else 0.0
                    weight = of_class[j] / of_class.sum()
                    total = total + y * weight * (self.squared_errors(i) + self.kl_to(i, k * self.m + j, "sum"))
        return total / self.n

    def eq5(self):
        """The same after Eq. 4: the reconstruction error once a sample, and the mixture of the KL."""
        return self.reconstruction_loss("sum") + self.mixture_kl("sampled", "squared", "all", "sum")

    def terms(self, convention):
        z, kind, pixels, latent, which, norm, classes = CONVENTIONS[convention]
        return {
            "prediction": self.cross_entropy(z, kind),
            "reconstruction": self.reconstruction_loss(pixels),
            "kl": self.mixture_kl(z, kind, which, latent),
            "orthonormality": self.orthonormality(norm, classes),
        }


def outputs(case):
    out = {"log_variance_clamped": case.log_variance_clamped, "z_sampled": case.z["sampled"]}
    for z in ("mean", "sampled"):
        for kind in ("squared", "euclidean"):
            for name in ("distance", "similarity", "logits", "cross_entropy"):
                out[f"{name}_{z}_{kind}"] = getattr(case, name)(z, kind)
            for which in ("all", "positive"):
                out[f"weights_{z}_{kind}_{which}"] = case.weights(z, kind, which)
                for over in ("sum", "mean"):
                    out[f"mixture_kl_{z}_{kind}_{which}_{over}"] = case.mixture_kl(z, kind, which, over)
    for over in ("sum", "mean"):
        out[f"kl_{over}"] = case.kl(over)
        out[f"reconstruction_{over}"] = case.reconstruction_loss(over)
        for norm in ("squared", "frobenius", "over-dimensions"):
            out[f"orthonormality_{norm}_{over}"] = case.orthonormality(norm, over)
    out["eq3"], out["eq5"] = case.eq3(), case.eq5()
    return {name: plain(value) for name, value in out.items()}


def total(inputs, dims, convention):
    inputs = {name: value.clone().requires_grad_(name in DIFFERENTIATED) if torch.is_tensor(value) else value
              for name, value in inputs.items()}
    terms = Case(inputs, dims).terms(convention)
    loss = sum(terms.values())
    gradients = torch.autograd.grad(loss, [inputs[name] for name in DIFFERENTIATED])
    return {"total": plain(loss), **{name: plain(value) for name, value in terms.items()},
            "gradients": {name: plain(value) for name, value in zip(DIFFERENTIATED, gradients)}}


def plain(value):
    """A tensor or list as a flat list (a number, if it has no dimensions), rounded to 12 significant digits."""
    if isinstance(value, list):
        return value
    if value.dim() == 0:
        rounded = float(f"{value.item():.12g}")
        return 0.0 if rounded == 0 else rounded  # no -0.0
    return [plain(v) for v in value.detach().reshape(-1)]


def draw(seed, n, k, m, l, channels, height, width):
    """Random inputs, rounded to multiples of 1/64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.round(torch.randn(*shape, generator=generator, dtype=torch.float64) * 64) / 64

    def pixels():
        uniform = torch.rand(n, channels, height, width, generator=generator, dtype=torch.float64) * 2 - 1
        return (torch.round(uniform * 64) / 64).clamp(-63 / 64, 63 / 64)

    inputs = {"images": pixels(), "reconstruction": pixels(), "mean": normal(n, l), "log_variance": normal(n, l),
              "noise": normal(n, l), "labels": [i % k for i in range(n)], "prototypes": normal(k * m, l),
              "classifier": normal(k, k * m)}
    return inputs, {"n": n, "k": k, "m": m, "l": l, "channels": channels, "height": height, "width": width}


def cases():
    # Plain values, with one log variance below the clamp; two samples of class 0.
    inputs, dims = draw(1, n=4, k=3, m=2, l=5, channels=1, height=4, width=4)
    inputs["log_variance"][1, 2] = -25.0
    yield "generic", inputs, dims

    # One prototype a class, and sample 1 exactly on its own with variance 1: all its own-class KL are 0.
    inputs, dims = draw(2, n=3, k=3, m=1, l=4, channels=1, height=3, width=3)
    inputs["mean"][1], inputs["log_variance"][1], inputs["noise"][1] = inputs["prototypes"][1], 0.0, 0.0
    yield "single", inputs, dims

    # Sample 0 exactly on one of its own prototypes, sample 1 on one of another class, both with variance 1; colour images.
    inputs, dims = draw(3, n=4, k=2, m=3, l=5, channels=3, height=2, width=4)
    inputs["mean"][0], inputs["log_variance"][0], inputs["noise"][0] = inputs["prototypes"][1], 0.0, 0.0
    inputs["mean"][1], inputs["log_variance"][1], inputs["noise"][1] = inputs["prototypes"][2], 0.0, 0.0
    yield "on_prototype", inputs, dims

    # A log variance above the clamp, and a sampled z far away: its similarities are near 1e-7, where float32 needs log1p.
    inputs, dims = draw(4, n=2, k=2, m=2, l=3, channels=1, height=2, width=2)
    inputs["log_variance"][0, 1], inputs["noise"][0, 1], inputs["log_variance"][1, 0] = 20.0, 0.25, -25.0
    yield "clamped", inputs, dims


def build():
    result = []
    for name, inputs, dims in cases():
        result.append({
            "name": name,
            "dims": dims,
            "inputs": {key: plain(inputs[key]) for key in INPUTS},
            "outputs": outputs(Case(inputs, dims)),
            "totals": {convention: total(inputs, dims, convention) for convention in CONVENTIONS},
        })
    return {"cases": result}


def differences(new, old, path=""):
    """The places where two such trees differ by more than 1e-9 (relative, or absolute below 1)."""
    if isinstance(new, dict) and isinstance(old, dict) and new.keys() == old.keys():
        return [d for key in new for d in differences(new[key], old[key], f"{path}/{key}")]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [d for i, (a, b) in enumerate(zip(new, old)) for d in differences(a, b, f"{path}/{i}")]
    if isinstance(new, (int, float)) and isinstance(old, (int, float)):
        return [] if abs(new - old) <= 1e-9 * max(1.0, abs(old)) else [f"{path}: {new} instead of {old}"]
    return [] if new == old else [f"{path}: differs"]


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses.json")
    tree = build()
    if "--check" in sys.argv[1:]:
        with open(path) as file:
            found = differences(tree, json.load(file))
        print("\n".join(found) or "losses.json agrees")
        sys.exit(1 if found else 0)
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    for key in ('{"name"', '"inputs"', '"outputs"', '"totals"'):
        text = text.replace(key, "\n" + key)
    text += "\n"
    with open(path, "w") as file:
        file.write(text)
    print(f"{path}: {len(tree['cases'])} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
