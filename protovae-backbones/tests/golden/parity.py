#!/usr/bin/env python3
"""Compares models whose weights were carried over from PyTorch, and back, with PyTorch itself.

    pip install torch==2.9.0 torchvision==0.24.0 safetensors numpy pillow
    python3 parity.py networks          # every network: outputs and losses of random weights and random images
    python3 parity.py train FILE.pth --data DIR     # a checkpoint as the authors' code saves them, one epoch of MNIST
    python3 parity.py checkpoint FILE.pth --data DIR --program PROTOVAE   # imported, evaluated, exported: image by image

`networks` writes the weights and what PyTorch computes from them into a temporary folder, runs the ignored Rust test in
`tests/parity.rs` on it (needs cargo), prints the differences that the test found, and compares the files that it exported.
`checkpoint` runs the program `protovae` on real data: DIR holds MNIST's four files.
"""
import argparse
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file, save_file

from reference import CLASSES, NETWORKS, Reference, Resnet18, Small, Whole, disturb

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
IMAGES = 12


def recipe(name, encoder=None):
    """The model as our configurations have it."""
    image, latent, per_class, (kind, widths), start, stages = NETWORKS[name]

    def layer(kind, width):
        made = {"transpose" if kind == "up" else "conv": width}
        return made | ({"padding": 2} if kind == "wide" else {})

    return {"type": "protovae", "latent_dimensions": latent, "prototypes_per_class": per_class,
            "encoder": encoder or {"type": f"conv-{kind}", "widths": widths},
            "decoder": {"type": "conv-transpose", "start": start, "stages": [layer(*each) for each in stages]},
            "head": {"type": "prototype"}, "loss": {"convention": "reference2022"}}


def write_case(folder, model, weights, layout, recipe, image, state=None, save=torch.save):
    """Weights, images, and what PyTorch makes of them in evaluation."""
    folder.mkdir(parents=True)
    images = torch.rand(IMAGES, *image) * 2 - 1
    labels = torch.arange(IMAGES) % CLASSES
    with torch.no_grad():
        outputs = model.outputs(images)
        terms = {name: term.item() for name, term in model.losses(images, labels, outputs).items()}
        if isinstance(getattr(model, "encoder", None), Resnet18):
            outputs["features"] = model.encoder.features(images)
    state = model.state_dict() if state is None else state
    save(state, folder / weights)
    save_file({name: tensor.contiguous() for name, tensor in (outputs | {"images": images}).items()},
              folder / "expected.safetensors")
    case = {"layout": layout, "weights": weights, "model": recipe, "image": image, "classes": CLASSES,
            "labels": labels.tolist(), "terms": terms}
    (folder / "case.json").write_text(json.dumps(case))


def legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def safetensors(state, path):
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)


def write_networks(folder):
    savers = {"mnist": torch.save, "fashion-mnist": legacy, "quickdraw": safetensors}
    models = {}
    for number, (name, settings) in enumerate(NETWORKS.items()):
        torch.manual_seed(number)
        model = models[name] = disturb(Reference(*settings), number)
        save = savers.get(name, torch.save)
        weights = "weights.safetensors" if save is safetensors else "weights.pth"
        write_case(folder / name, model, weights, "reference2022", recipe(name), settings[0], save=save)
    for number, (name, deep) in enumerate((("mnist", True), ("cifar-10", True), ("quickdraw", False), ("svhn", False)), 10):
        image, latent, per_class, widths, start, stages = NETWORKS[name]
        torch.manual_seed(number)
        encoder = Resnet18(latent) if deep else Small(image, latent, *widths)
        whole = disturb(Whole(image, latent, per_class, encoder, start, stages), number)
        case = f"{name}-resnet18" if deep else f"{name}-pytorch"
        models[case] = whole
        made = recipe(name, {"type": "resnet18"} if deep else None)
        write_case(folder / case, whole, "weights.pth", "pytorch", made, image)
    # torchvision's own module: the backbone alone is loaded, so only the 512 features are compared.
    torch.manual_seed(20)
    theirs = disturb(torchvision.models.resnet18(), 20)
    state = theirs.state_dict()
    theirs.fc = torch.nn.Identity()
    models["torchvision"] = theirs
    for name, image in (("torchvision", (3, 64, 64)), ("torchvision-224", (3, 224, 224))):
        case = folder / name
        case.mkdir()
        images = torch.rand(4, *image) * 2 - 1
        with torch.no_grad():
            save_file({"images": images, "features": theirs(images)}, case / "expected.safetensors")
        torch.save(state, case / "weights.pth")
        black_box = {"type": "black-box", "latent_dimensions": 8, "encoder": {"type": "resnet18"}, "head": {"type": "linear"}}
        (case / "case.json").write_text(json.dumps({
            "layout": "torchvision", "weights": "weights.pth", "model": black_box, "image": image, "classes": CLASSES,
            "labels": [], "terms": {}}))
    return models


def networks(arguments):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        models = write_networks(folder)
        command = arguments.test or ["cargo", "test", "--workspace", "--test", "parity", "--"]
        environment = os.environ | {"PROTOVAE_PARITY": str(folder)}
        ran = subprocess.run(command + ["--ignored", "--nocapture", "--test-threads=1"], cwd=REPOSITORY, env=environment)
        if ran.returncode:
            sys.exit("the test found differences")
        for name, model in models.items():
            exported = load_file(folder / name / "exported.safetensors")
            state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
            assert exported.keys() == state.keys(), (name, exported.keys() ^ state.keys())
            assert all(torch.equal(exported[key], state[key]) for key in state), name
            model.load_state_dict(exported)  # strictly
            print(f"{name}: exported again, {len(state)} tensors, every value the same; PyTorch loads it strictly")


def mnist(folder, part):
    def read(name, skip):
        with gzip.open(pathlib.Path(folder) / f"{part}-{name}-ubyte.gz") as file:
            return np.frombuffer(file.read()[skip:], np.uint8)

    pixels = read("images-idx3", 16).reshape(-1, 1, 28, 28)
    return pixels, torch.from_numpy(read("labels-idx1", 8).astype(np.int64))


def scaled(pixels):
    return torch.from_numpy(pixels.astype(np.float32)) / 127.5 - 1


def train(arguments):
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    pixels, labels = mnist(arguments.data, "train")
    images = scaled(pixels)
    model = Reference(*NETWORKS["mnist"]).released_initialisation()
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=1e-3)
    began = time.time()
    for epoch in range(arguments.epochs):
        for batch in torch.randperm(len(labels)).split(128):
            outputs = model.outputs(images[batch])
            loss = sum(model.losses(images[batch], labels[batch], outputs).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: last loss {loss.item():.4f}, {time.time() - began:.0f} s", flush=True)
    torch.save(model.state_dict(), arguments.file)


@torch.no_grad()
def evaluated(model, images, labels):
    parts, sums = [], {}
    for batch in torch.arange(len(labels)).split(500):
        outputs = model.outputs(images[batch])
        parts.append(outputs["logits"])
        for name, term in model.losses(images[batch], labels[batch], outputs).items():
            sums[name] = sums.get(name, 0) + term.item() * len(batch)
    return torch.cat(parts), {name: total / len(labels) for name, total in sums.items()}


def checkpoint(arguments):
    from PIL import Image

    def run(*words):
        ran = subprocess.run([arguments.program, *map(str, words), "--json"], capture_output=True, text=True)
        if ran.returncode:
            sys.exit(ran.stderr)
        return [json.loads(line) for line in ran.stdout.splitlines()]

    model = Reference(*NETWORKS["mnist"])
    model.load_state_dict(torch.load(arguments.file, weights_only=True))
    pixels, labels = mnist(arguments.data, "t10k")
    logits, terms = evaluated(model.eval(), scaled(pixels), labels)
    predicted = logits.argmax(1)
    accuracy = (predicted == labels).double().mean().item()
    print(f"PyTorch: accuracy {accuracy:.4f}, {terms}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        imported = folder / "imported"
        data = pathlib.Path(arguments.data)
        source = ["--preset", "mnist-reference2022", "--set", f"data.path={data}"]
        print(run("import", arguments.file, *source, "--out", imported)[0])
        [found] = run("eval", imported)
        print(f"protovae: accuracy {found['accuracy']:.4f}, {found['terms']}")
        assert abs(found["accuracy"] - accuracy) < 1e-9, "accuracy"
        for name, theirs in terms.items():
            assert abs(found["terms"][name] - theirs) < 1e-4, name
        # Image by image, through pictures.
        files = []
        for number, each in enumerate(pixels):
            files.append(folder / f"{number:05}.png")
            Image.fromarray(each[0]).save(files[-1])
        ours, probabilities = [], torch.softmax(logits, 1)
        apart = 0.0
        for first in range(0, len(files), 2000):
            for found in run("predict", imported, *files[first:first + 2000]):
                number = len(ours)
                ours.append(found["class_index"])
                apart = max(apart, abs(found["probability"] - probabilities[number].max().item()))
        different = int((torch.tensor(ours) != predicted).sum())
        print(f"{len(ours)} predictions one by one: {different} differ; probabilities at most {apart:.2e} apart")
        assert different == 0 and apart < 1e-4
        # And back.
        exported = folder / "exported.safetensors"
        print(run("export", imported, "--layout", "reference2022", "--out", exported)[0])
        again = Reference(*NETWORKS["mnist"])
        print(again.load_state_dict(load_file(exported)))
        other, _ = evaluated(again.eval(), scaled(pixels), labels)
        assert torch.equal(other, logits), "the export computes something else"
        print("the export in PyTorch: every logit of every image the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("networks")
    command.add_argument("--test", nargs="+", help="how to start the test binary; default cargo test")
    command.set_defaults(run=networks)
    for name, run in (("train", train), ("checkpoint", checkpoint)):
        command = commands.add_parser(name)
        command.add_argument("file")
        command.add_argument("--data", required=True)
        command.set_defaults(run=run)
        if run is train:
            command.add_argument("--epochs", type=int, default=1)
            command.add_argument("--threads", type=int, default=2)
        else:
            command.add_argument("--program", default="protovae")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
