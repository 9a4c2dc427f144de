#!/usr/bin/env python3
"""Relevance maps beside PyTorch, in turn on the same machine: the figures of docs/src/explanations.md.

    python3 -m venv v && v/bin/pip install numpy torch==2.9.0
    cargo build --release -p protovae-cli
    v/bin/python protovae-explain/benches/against_pytorch.py target/release/protovae

20 images, each for every prototype of the network. Both sides run in fresh processes, in turn, `--rounds` times; medians.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

PEER = pathlib.Path(__file__).with_name("pytorch_peer.py")
PROTOTYPES = {"mnist": 50, "cifar-10": 100}
# Worth some per cent to PyTorch: its allocator keeps memory instead of giving it back.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "268435456"}


def last(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | (environment or {}))
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the protovae binary")
    parser.add_argument("--network", default="mnist", choices=PROTOTYPES)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variants", default="contiguous,channels_last")
    arguments = parser.parse_args()
    rates = {}
    for _ in range(arguments.rounds):
        ours = [arguments.program, "bench", "--json", "--preset", arguments.network, "--set", "model.loss.convention=reference2022",
                "--batch", "8", "--warmup", "1", "--steps", "20", "--explain", str(arguments.images), "--threads", str(arguments.threads)]
        rates.setdefault("protovae", []).append(last(ours)[-1]["relevance_maps_per_second"])
        theirs = [sys.executable, str(PEER), "--network", arguments.network, "--images", str(arguments.images), "--prototypes",
                  str(PROTOTYPES[arguments.network]), "--threads", str(arguments.threads), "--variants", arguments.variants]
        for line in last(theirs, MALLOC):
            rates.setdefault(f"PyTorch, {line['variant']}", []).append(line["maps_per_second"])
    mine = statistics.median(rates["protovae"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:<26} {median:>8,.0f} maps/s  (of {len(values)}: {min(values):,.0f} to {max(values):,.0f})  protovae is {mine / median:.2f} times as fast")
