#!/usr/bin/env python3
"""Prototypical relevance propagation in PyTorch, written for speed: maps a second.

One forward pass serves all prototypes; what depends on the image alone (denominators, weights cut by sign) is computed once.
The rules are those of `prp`: epsilon on fully connected layers and pooling, alpha 1 beta 0 on convolutions, z-box on pixels,
batch normalisation folded into the layer that follows, the shift as a bias a pixel. Weights are random, as arithmetic takes as
long on them.

    python3 pytorch_peer.py --images 20 --prototypes 50 --rounds 20 --variants contiguous,channels_last
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

# widths of the encoder's blocks (convolution, ReLU, normalisation, 2x2 mean), channels, side, latent dimensions
NETWORKS = {"mnist": ((32, 64), 1, 28, 256), "cifar-10": ((32, 64, 128, 256), 3, 32, 512)}


def stable(z, epsilon=1e-6):
    return z + epsilon * torch.where(z >= 0, 1.0, -1.0)


class Relevance:
    """The canonised encoder of a network: convolutions with a bias a pixel, ReLU, pooling; two fully connected layers."""

    def __init__(self, name, prototypes, layout):
        torch.manual_seed(0)
        widths, channels, side, latent = NETWORKS[name]
        self.side, self.channels, self.latent, self.layout = side, channels, latent, layout
        self.convolutions, inputs = [], channels
        for width in widths:
            weight = torch.empty(width, inputs, 3, 3).uniform_(-0.08, 0.08).contiguous(memory_format=layout)
            bias = torch.empty(width, side, side).uniform_(-0.1, 0.1)
            positive, negative = weight.clamp(min=0), weight.clamp(max=0)
            self.convolutions.append((weight, positive.contiguous(memory_format=layout), negative, bias))
            inputs, side = width, side // 2
        flat = inputs * side * side
        self.linear = [(torch.empty(2 * latent, flat).uniform_(-0.08, 0.08), torch.zeros(2 * latent)),
                       (torch.empty(latent, 2 * latent).uniform_(-0.08, 0.08), torch.zeros(latent))]
        self.deep = (inputs, side, side)
        self.prototypes = torch.randn(prototypes, latent)
        # The z-box at one go: w, w+ and w- as three sets of output channels of the transposed convolution.
        weight, positive, negative, _ = self.convolutions[0]
        self.box = torch.cat([weight, positive, negative], 1).contiguous(memory_format=layout)

    def __call__(self, images):
        # Forward, once for all prototypes.
        x, kept = images, []
        for number, (weight, positive, negative, bias) in enumerate(self.convolutions):
            if number == 0:
                z = F.conv2d(x, weight, padding=1) + bias
                low, high = torch.full_like(x[:1], -1.0), torch.full_like(x[:1], 1.0)
                denominator = F.conv2d(x, weight, padding=1) - F.conv2d(low, positive, padding=1) - F.conv2d(high, negative, padding=1)
            else:
                z = F.conv2d(x, weight, padding=1) + bias
                # After ReLU and pooling nothing is negative, so that the positive part is w+ alone.
                denominator = F.conv2d(x, positive, padding=1) + bias.clamp(min=0)
            active = F.relu(z)
            pooled = F.avg_pool2d(active, 2)
            kept.append((x, denominator, active, pooled))
            x = pooled
        flat = x.flatten(1)
        hidden = F.linear(flat, *self.linear[0])
        mean = F.linear(F.relu(hidden), *self.linear[1])
        # The similarity, shared over latent dimensions by closeness: [N, P, L].
        apart = (mean[:, None] - self.prototypes[None]).square()
        distance = apart.sum(2)
        similarity = torch.log((distance + 1) / (distance + 1e-4))
        close = 1 / (apart + 1e-3)
        relevance = close / close.sum(2, keepdim=True) * similarity[..., None]
        # Backward, for all prototypes at once.
        relevance = F.relu(hidden)[:, None] * ((relevance / stable(mean)[:, None]) @ self.linear[1][0])
        relevance = flat[:, None] * ((relevance / stable(hidden)[:, None]) @ self.linear[0][0])
        samples, targets = relevance.shape[:2]
        relevance = relevance.reshape(samples, targets, *self.deep)
        for number in reversed(range(len(self.convolutions))):
            x, denominator, active, pooled = kept[number]
            # Pooling hands each of four its part; the quarter of the mean cancels with that of the denominator.
            share = relevance / (4 * stable(pooled)[:, None])
            share = share.repeat_interleave(2, 3).repeat_interleave(2, 4)
            relevance = active[:, None] * share
            s = (relevance / stable(denominator)[:, None]).flatten(0, 1).contiguous(memory_format=self.layout)
            if number == 0:
                plain, positive, negative = F.conv_transpose2d(s, self.box, padding=1).unflatten(0, (samples, targets)).chunk(3, 2)
                relevance = x[:, None] * plain + positive - negative
            else:
                back = F.conv_transpose2d(s, self.convolutions[number][1], padding=1)
                relevance = x[:, None] * back.unflatten(0, (samples, targets))
        return relevance, similarity


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mnist", choices=NETWORKS)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--prototypes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--variants", default="contiguous,channels_last,compile")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for variant in arguments.variants.split(","):
        layout = torch.channels_last if variant == "channels_last" else torch.contiguous_format
        explain = Relevance(arguments.network, arguments.prototypes, layout)
        images = torch.empty(arguments.images, explain.channels, explain.side, explain.side).uniform_(-1, 1).contiguous(memory_format=layout)
        work = torch.compile(explain.__call__) if variant == "compile" else explain
        seconds = []
        with torch.inference_mode():
            for _ in range(3):
                relevance, similarity = work(images)
            assert relevance.isfinite().all()
            for _ in range(arguments.rounds):
                begun = time.perf_counter()
                work(images)
                seconds.append(time.perf_counter() - begun)
        rate = arguments.images * arguments.prototypes / statistics.median(seconds)
        print(json.dumps({"variant": variant, "maps_per_second": rate, "best": arguments.images * arguments.prototypes / min(seconds)}), flush=True)


if __name__ == "__main__":
    main()
