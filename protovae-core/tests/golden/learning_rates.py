#!/usr/bin/env python3
"""Golden values for learning rates of their own: torch.optim.Adam with a parameter group a rate, in float64.

    pip install numpy torch==2.9.0
    python3 learning_rates.py    # writes learning_rates.json beside this file

Value i of a tensor is sin(i + 1 + 7 * seed) / 2, for parameters (seed 0 and up, in the order of the names) and for the gradient of
step t (seed 10 * t + the parameter's).
"""
import json
import math
import pathlib

import torch

SHAPES = {"encoder.first": (2, 3), "encoder.tail.last": (4,), "encoders": (3,), "head": (2, 2)}
RATES = {"encoder.first": 1e-3, "encoder.tail.last": 2e-2, "encoders": 1e-2, "head": 0.0}
STEPS = 3


def values(shape, seed):
    count = math.prod(shape)
    return torch.tensor([math.sin(i + 1 + 7 * seed) / 2 for i in range(count)], dtype=torch.float64).reshape(shape)


parameters = {name: values(shape, seed).requires_grad_() for seed, (name, shape) in enumerate(SHAPES.items())}
optimizer = torch.optim.Adam([{"params": [parameters[name]], "lr": RATES[name]} for name in SHAPES], betas=(0.9, 0.99), eps=1e-8)
for step in range(1, STEPS + 1):
    for seed, (name, parameter) in enumerate(parameters.items()):
        parameter.grad = values(SHAPES[name], 10 * step + seed)
    optimizer.step()
result = {name: parameter.detach().flatten().tolist() for name, parameter in parameters.items()}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(result, indent=1) + "\n")
