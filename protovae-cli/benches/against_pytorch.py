#!/usr/bin/env python3
"""protovae beside PyTorch, in turn on the same machine: the table of docs/src/performance.md.

    python3 -m venv v && v/bin/pip install numpy torch==2.9.0
    cargo build --release -p protovae-cli
    v/bin/python protovae-cli/benches/against_pytorch.py target/release/protovae

Every network is measured in fresh processes, ours and PyTorch's in turn, `--rounds` times; the medians of the rounds are
compared. Both train and evaluate with the losses of the convention reference2022 on random images in memory.
"""
import argparse, json, os, pathlib, re, statistics, subprocess, sys

NETWORKS = ["mnist", "fashion-mnist", "quickdraw", "cifar-10", "svhn"]
PEER = pathlib.Path(__file__).with_name("pytorch_peer.py")
# Worth 7 to 15 % to PyTorch: its allocator keeps memory instead of giving it back.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


def ours(program, network, arguments):
    command = [program, "bench", "--json", "--preset", network, "--set", "model.loss.convention=reference2022",
               "--steps", str(arguments.steps), "--threads", str(arguments.threads)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    return found["train_images_per_second"], found["evaluation_images_per_second"], found["peak_mib"]


def theirs(network, arguments):
    command = [sys.executable, str(PEER), network, "--variants", arguments.variant, "--steps", str(arguments.steps),
               "--threads", str(arguments.threads)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | MALLOC).stdout
    train, evaluation = (float(value) for value in re.findall(r"(?:train|eval)\s+([\d.]+) img/s", text))
    return train, evaluation, int(re.search(r"peak (\d+) MiB", text)[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the protovae binary")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--variant", default="compile", help="of the peer: eager, channels_last or compile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    print("| network | training: ours | PyTorch | ratio | evaluation: ours | PyTorch | ratio | MiB: ours | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for network in arguments.networks or NETWORKS:
        rounds = [(ours(arguments.program, network, arguments), theirs(network, arguments)) for _ in range(arguments.rounds)]
        cells = [network]
        for index in range(3):
            mine, other = (statistics.median(pair[side][index] for pair in rounds) for side in (0, 1))
            cells += [f"{mine:,.0f}", f"{other:,.0f}", f"{mine / other:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)
