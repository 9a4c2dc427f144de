#!/usr/bin/env python3
"""Relevance maps a second in PyTorch, with one forward pass shared by all prototypes: the peer of `cargo bench --bench relevance`.

    pip install torch==2.9.0
    python3 relevance_pytorch.py [--threads 2] [--images 20] [--prototypes 50]

The network, rules and start are those of the explainer `prp` for the paper's MNIST model: epsilon on fully connected layers and
pooling, alpha 1 beta 0 on convolutions with batch normalisation folded into the layer after it, the box of pixels at the input.
What depends on the image alone is computed once and the three terms of the input's rule share one transposed convolution.
Weights are random; the time does not depend on them.
"""
import argparse
import time

import torch
from torch.nn import functional as F


class Network:
    def __init__(self, latent):
        self.w1, self.b1 = torch.randn(32, 1, 3, 3) * 0.3, torch.randn(32) * 0.1
        self.w2 = torch.randn(64, 32, 3, 3) * 0.06
        # The folded shift is a bias a pixel.
        self.b2 = torch.randn(64, 14, 14) * 0.1
        self.w3, self.b3 = torch.randn(2 * latent, 64 * 49) * 0.02, torch.randn(2 * latent) * 0.1
        self.w4, self.b4 = torch.randn(latent, 2 * latent) * 0.05, torch.randn(latent) * 0.1
        self.positive2, self.positive_b2 = self.w2.clamp(min=0), self.b2.clamp(min=0)
        # One transposed convolution gives the three terms of the box.
        self.box = torch.cat([self.w1, self.w1.clamp(min=0), self.w1.clamp(max=0)], 1)


def stabilised(z, epsilon=1e-6):
    return z + torch.where(z >= 0, epsilon, -epsilon)


def maps(net, images, prototypes):
    n, t = images.shape[0], prototypes.shape[0]
    # The forward pass, once.
    z1 = F.conv2d(images, net.w1, net.b1, padding=1)
    a1 = F.relu(z1)
    p1 = F.avg_pool2d(a1, 2)
    z2 = F.conv2d(p1, net.w2, padding=1) + net.b2
    a2 = F.relu(z2)
    p2 = F.avg_pool2d(a2, 2)
    flat = p2.flatten(1)
    a3 = F.relu(F.linear(flat, net.w3, net.b3))
    mean = F.linear(a3, net.w4, net.b4)
    # What the way back needs of it.
    ones = torch.ones_like(images)
    box = F.conv2d(images, net.w1, padding=1) + F.conv2d(ones, net.w1.clamp(min=0) - net.w1.clamp(max=0), padding=1)
    plus = F.conv2d(p1, net.positive2, padding=1) + net.positive_b2
    f1, f2 = a1 * 0 + 1 / (box + 1e-9), 1 / (plus + 1e-9)
    g1, g2 = a1 / stabilised(p1.repeat_interleave(2, 2).repeat_interleave(2, 3)) / 4, None
    g2 = a2 / stabilised(p2.repeat_interleave(2, 2).repeat_interleave(2, 3)) / 4
    f3, f4 = 1 / stabilised(F.linear(flat, net.w3, net.b3)), 1 / stabilised(mean)
    # From similarities to latent dimensions.
    apart = (mean[:, None] - prototypes[None]) ** 2
    distance = apart.sum(2, keepdim=True)
    similarity = torch.log((distance + 1) / (distance + 1e-4))
    close = 1 / (apart + 1e-3)
    r = similarity * close / close.sum(2, keepdim=True)
    # Back, for all prototypes together.
    r = torch.matmul(r * f4[:, None], net.w4) * a3[:, None]
    r = torch.matmul(r * f3[:, None], net.w3) * flat[:, None]
    r = r.reshape(n, t, 64, 7, 1, 7, 1) * g2.reshape(n, 1, 64, 7, 2, 7, 2)
    r = r.reshape(n, t, 64, 14, 14) * f2[:, None]
    r = F.conv_transpose2d(r.reshape(n * t, 64, 14, 14), net.positive2, padding=1).reshape(n, t, 32, 14, 14) * p1[:, None]
    r = r.reshape(n, t, 32, 14, 1, 14, 1) * g1.reshape(n, 1, 32, 14, 2, 14, 2)
    r = r.reshape(n, t, 32, 28, 28) * f1[:, None]
    r = F.conv_transpose2d(r.reshape(n * t, 32, 28, 28), net.box, padding=1).reshape(n, t, 3, 28, 28)
    return r[:, :, 0:1] * images[:, None] + r[:, :, 1:2] - r[:, :, 2:3]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=0)
    options.add_argument("--images", type=int, default=20)
    options.add_argument("--prototypes", type=int, default=50)
    options.add_argument("--repeats", type=int, default=15)
    chosen = options.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    net = Network(256)
    images, prototypes = torch.rand(chosen.images, 1, 28, 28) * 2 - 1, torch.randn(chosen.prototypes, 256)

    def rate(images, at_once):
        times = []
        with torch.inference_mode():
            for _ in range(chosen.repeats + 3):
                start = time.perf_counter()
                for part in images.split(at_once):
                    maps(net, part, prototypes)
                times.append(time.perf_counter() - start)
        return images.shape[0] * chosen.prototypes / sorted(times[3:])[chosen.repeats // 2]

    for at_once in (chosen.images, 5, 1):
        print(f"{chosen.prototypes} prototypes x {chosen.images} images, {at_once} at once: {rate(images, at_once):.0f} maps/s")
    print(f"{chosen.prototypes} prototypes x 1 image: {rate(images[:1], 1):.0f} maps/s")


main()
