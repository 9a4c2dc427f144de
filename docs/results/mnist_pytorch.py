#!/usr/bin/env python3
"""ProtoVAE on MNIST in PyTorch: the paper's network and ten epochs, the released losses and initialisation; test accuracy after each epoch.

    python docs/results/mnist_pytorch.py FOLDER [--seed 0] [--sampled-mean] [--epochs 10] [--images 60000]
        # needs numpy and torch; FOLDER has MNIST's four files, packed or not

An independent computation of what `protovae train --preset mnist --set model.loss.convention=reference2022` does (the default with
--sampled-mean), up to the order of the images.
"""
import argparse
import gzip
import math
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent / "../../protovae-cli/benches"))
from pytorch_peer import ProtoVae  # noqa: E402


def idx(folder, name):
    path = folder / name
    raw = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(dimensions)


def load(folder, part):
    images = torch.tensor(idx(folder, f"{part}-images-idx3-ubyte")).float().div(127.5).sub(1).unsqueeze(1)
    return images, torch.tensor(idx(folder, f"{part}-labels-idx1-ubyte")).long()


def initialise(model):
    """Uniform in ±0.08, but for the decoder's convolutions; classes begin with their own prototypes at 1, others at -0.5."""
    with torch.no_grad():
        for part in (model.encoder, model.grow, model.decoder):
            for layer in part.modules():
                kaiming = isinstance(layer, nn.Conv2d) and part is model.decoder
                if kaiming:
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
                elif isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                    layer.weight.uniform_(-0.08, 0.08)
                else:
                    continue
                layer.bias.zero_()
        own = torch.eye(model.classes).repeat_interleave(model.per_class, 1)
        model.classifier.weight.copy_(1.5 * own - 0.5)


def losses(model, x, y, sampled):
    """Logits, and the four terms: prediction, reconstruction, KL, orthonormality."""
    mu, logvar = model.encoder(x).split(model.latent, 1)
    limit = -math.log(1e-8)
    logvar = logvar.clamp(-limit, limit)
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu) if sampled and model.training else mu
    d = torch.cdist(z, model.prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    similarity = torch.log((d + 1) / (d + 1e-4))
    logits = model.classifier(similarity)
    decoded = torch.tanh(model.decoder(model.grow(z).view(-1, *model.start)))
    bank = model.prototypes.view(model.classes, model.per_class, model.latent)
    kl = 0.5 * (((mu.unsqueeze(1) - bank[y]) ** 2).mean(2) + (logvar.exp() - 1 - logvar).mean(1, keepdim=True))
    own = similarity.view(-1, model.classes, model.per_class)[torch.arange(len(y)), y]
    weighted = kl * own
    kl = (weighted.sum(1) / (own * (weighted > 0)).sum(1)).mean()
    centred = bank - bank.mean(1, keepdim=True)
    if sampled:
        gram = centred @ centred.transpose(1, 2) - torch.eye(model.per_class)
    else:
        gram = centred.transpose(1, 2) @ centred - torch.eye(model.latent)
    orthonormality = torch.linalg.vector_norm(gram, dim=(1, 2)).mean()
    return logits, F.cross_entropy(logits, y), F.mse_loss(decoded, x), kl, orthonormality


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampled-mean", action="store_true", help="the default's losses in place of the released ones")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=60000, help="train on the first so many")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    images, labels = (part[: arguments.images] for part in load(arguments.folder, "train"))
    test_images, test_labels = load(arguments.folder, "t10k")
    model = ProtoVae("mnist")
    initialise(model)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    weight = 0.1 if arguments.sampled_mean else 1.0
    for epoch in range(1, arguments.epochs + 1):
        begun = time.time()
        model.train()
        right = 0
        for batch in torch.randperm(len(images)).split(128):
            x, y = images[batch].contiguous(memory_format=torch.channels_last), labels[batch]
            logits, prediction, reconstruction, kl, orthonormality = losses(model, x, y, arguments.sampled_mean)
            optimizer.zero_grad(set_to_none=True)
            (prediction + reconstruction + weight * kl + orthonormality).backward()
            optimizer.step()
            right += (logits.argmax(1) == y).sum().item()
        model.eval()
        with torch.no_grad():
            parts = zip(test_images.split(500), test_labels.split(500))
            found = sum((losses(model, x, y, arguments.sampled_mean)[0].argmax(1) == y).sum().item() for x, y in parts)
        print(
            f"epoch {epoch}: test accuracy {100 * found / len(test_labels):.2f} %, train accuracy {100 * right / len(images):.2f} %, last batch: "
            f"prediction {prediction:.4f}, reconstruction {reconstruction:.4f}, kl {kl:.4f}, orthonormality {orthonormality:.4f} "
            f"({time.time() - begun:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
