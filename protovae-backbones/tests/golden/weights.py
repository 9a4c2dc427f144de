#!/usr/bin/env python3
"""Small files as PyTorch writes them, for the Rust tests of weights, and what PyTorch computes with them.

    pip install torch==2.9.0 torchvision==0.24.0
    python3 weights.py            # writes the folder weights/ beside this file

A ProtoVAE of 4×4 images with L = 2, two prototypes a class, ten classes, encoder widths [2], decoder [2, 2, 2] → up 2:

  reference.pth    a checkpoint of the released code's kind, saved as `torch.save` does since 1.6
  legacy.pth       the same as it was saved before
  module.pth       the same model pickled as a whole, with its class
  nested.pth       the same in half precision, under `state_dict`, every name with `module.` before it, beside an optimiser's state
  hostile.pth      a pickle that would run `os.system` if it were executed
  expected.json    images, and the outputs and losses of the model in evaluation
  names.json       the names and shapes of torchvision's resnet18 and of each network's checkpoint
"""
import json
import os
import pathlib

import torch
import torchvision

from reference import CLASSES, NETWORKS, Reference, disturb

FOLDER = pathlib.Path(__file__).resolve().parent / "weights"
SETTINGS = ((1, 4, 4), 2, 2, ("pool", [2]), (2, 2, 2), [("up", 2)])


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-code-was-run",)


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(1)
    model = disturb(Reference(*SETTINGS), 1)
    state = model.state_dict()
    torch.save(state, FOLDER / "reference.pth")
    torch.save(state, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(model, FOLDER / "module.pth")
    half = {f"module.{name}": value.half() if value.is_floating_point() else value for name, value in state.items()}
    optimizer = torch.optim.Adam(model.parameters())
    torch.save({"epoch": 3, "state_dict": half, "optimizer": optimizer.state_dict(), "lr": torch.tensor(0.001)},
               FOLDER / "nested.pth", _use_new_zipfile_serialization=False)
    torch.save({"features.0.weight": Hostile()}, FOLDER / "hostile.pth", _use_new_zipfile_serialization=False)
    images, labels = torch.rand(3, 1, 4, 4) * 2 - 1, torch.tensor([0, 3, 9])
    with torch.no_grad():
        outputs = model.outputs(images)
        terms = model.losses(images, labels, outputs)
    numbers = {name: tensor.flatten().tolist() for name, tensor in (outputs | {"images": images}).items()}
    expected = {"labels": labels.tolist(), "terms": {name: term.item() for name, term in terms.items()}} | numbers
    (FOLDER / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    assert CLASSES == 10
    models = {name: Reference(*settings) for name, settings in NETWORKS.items()}
    models["torchvision"] = torchvision.models.resnet18()
    names = {name: {key: list(value.shape) for key, value in model.state_dict().items()} for name, model in models.items()}
    (FOLDER / "names.json").write_text(json.dumps(names, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
