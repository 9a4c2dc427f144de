#!/usr/bin/env python3
"""protovae beside PyTorch, in turn on the same machine: the table of docs/src/performance.md.

    python3 -m venv v && v/bin/pip install numpy torch==2.9.0
    cargo build --release -p protovae-cli
    v/bin/python protovae-cli/benches/against_pytorch.py target/release/protovae

Every network is measured in fresh processes, ours and PyTorch's in turn, `--rounds` times; shown are the medians of the rounds and
of their ratios. Both train and evaluate with the losses of the convention reference2022 on random images in memory.

The networks with ResNet-18 (cifar-10-resnet18, celeba, ...; pip install torchvision==0.24.0) are measured if named. `--variant
fastest` takes the best of channels_last and compile in each round. Where other programs run, `--threads 1` and the columns of
processor time tell most: there, threads that wait for each other in turns count as computing.
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
               "--steps", str(arguments.steps), "--warmup", str(arguments.warmup), "--threads", str(arguments.threads)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    return {
        "train": found["train_images_per_second"],
        "evaluation": found["evaluation_images_per_second"],
        "MiB": found["peak_mib"],
        "train processor": 1000 * found["train_processor_seconds_per_image"],
    }


def theirs(network, variant, arguments):
    command = [sys.executable, str(PEER), network, "--variants", variant, "--steps", str(arguments.steps),
               "--warmup", str(arguments.warmup), "--threads", str(arguments.threads), "--device", "cpu"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | MALLOC).stdout
    train, evaluation = (float(value) for value in re.findall(r"(?:train|eval)\s+([\d.]+) img/s", text))
    processor = float(re.search(r"processor ([\d.]+) ms/img", text)[1])
    return {"train": train, "evaluation": evaluation, "MiB": int(re.search(r"peak (\d+) MiB", text)[1]), "train processor": processor}


def fastest(network, arguments):
    variants = ["channels_last", "compile"] if arguments.variant == "fastest" else [arguments.variant]
    found = [theirs(network, variant, arguments) for variant in variants]
    return {key: (min if key in ("MiB", "train processor") else max)(each[key] for each in found) for key in found[0]}


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the protovae binary")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--variant", default="compile", help="of the peer: eager, channels_last, compile or fastest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    columns = {"train": "training, img/s", "evaluation": "evaluation, img/s", "MiB": "MiB", "train processor": "training, processor ms/img"}
    print("| network |" + "".join(f" {title}: ours | PyTorch | ratio (range) |" for title in columns.values()))
    print("|---|" + "---|---|---|" * len(columns))
    for network in arguments.networks or NETWORKS:
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append((ours(arguments.program, network, arguments), fastest(network, arguments)))
            print(f"{network}: {rounds[-1]}", file=sys.stderr, flush=True)
        cells = [network]
        for key in columns:
            mine, other = (statistics.median(pair[side][key] for pair in rounds) for side in (0, 1))
            ratios = [pair[0][key] / pair[1][key] for pair in rounds]
            cells += [shown(mine), shown(other), f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"]
        print("| " + " | ".join(cells) + " |", flush=True)
