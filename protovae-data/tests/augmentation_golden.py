"""Writes golden/augmentation.json: what torchvision makes of two small images, and what an independent ChaCha8 draws.

Run with torch 2.9.0, torchvision 0.24.0 and numpy: python augmentation_golden.py
"""

import itertools
import json
import pathlib

import numpy
import torch
import torchvision.transforms.functional as functional

ORDER = ["brightness", "contrast", "saturation", "hue"]
HEIGHT, WIDTH = 4, 6


def images():
    random = numpy.random.default_rng(20260)
    colour = random.integers(0, 256, (3, HEIGHT, WIDTH))
    # Greys, pure and nearly grey colours, and ties between two channels.
    special = [
        (0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255),
        (255, 0, 255), (200, 200, 10), (10, 200, 200), (200, 10, 200), (100, 101, 100), (101, 100, 100), (100, 100, 101),
    ]
    for position, pixel in enumerate(special):
        colour[:, position // WIDTH, position % WIDTH] = pixel
    grey = random.integers(0, 256, (1, HEIGHT, WIDTH))
    return {"colour": colour, "grey": grey}


def expected(image, draw):
    """The image after `draw`, in [-1, 1]."""
    picture = torch.from_numpy(image).to(torch.float32) / 255
    padding = 2
    picture = functional.pad(picture, padding, 0, "constant")
    picture = functional.crop(picture, draw.get("top", 0) + padding, draw.get("left", 0) + padding, HEIGHT, WIDTH)
    for name in draw.get("order", ORDER):
        if name in draw:
            picture = getattr(functional, "adjust_" + name)(picture, draw[name])
    if draw.get("flip", False):
        picture = functional.hflip(picture)
    values = [round(float(value), 6) for value in (picture * 2 - 1).flatten()]
    return [int(value) if value in (-1, 0, 1) else value for value in values]


def cases():
    offsets = range(-2, 3)
    for top, left in itertools.product(offsets, offsets):
        yield "grey", {"top": top, "left": left}
    for name in ("colour", "grey"):
        yield name, {"flip": True}
        yield name, {"brightness": 0.0}
        yield name, {"brightness": 1.4}
        yield name, {"contrast": 0.0}
        yield name, {"contrast": 0.63}
        yield name, {"contrast": 1.9}
        yield name, {"saturation": 1.7}
        yield name, {"hue": 0.13}
    yield "colour", {"saturation": 0.0}
    yield "colour", {"saturation": 0.4}
    for hue in (-0.5, -0.31, -0.08, 0.0, 0.25, 0.5):
        yield "colour", {"hue": hue}
    for number, order in enumerate(itertools.permutations(ORDER)):
        yield "colour", {
            "top": number % 5 - 2, "left": number // 5 - 2, "flip": number % 2 == 0, "order": list(order),
            "brightness": 1.3, "contrast": 0.7, "saturation": 1.4, "hue": 0.1,
        }


def chacha8(key, nonce):
    """The first block, as sixteen words (D. J. Bernstein's layout: 64 bits of counter, 64 of nonce)."""
    mask = 0xFFFFFFFF
    words = [int.from_bytes(key[at:at + 4], "little") for at in range(0, 32, 4)]
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *words, 0, 0, nonce & mask, nonce >> 32]
    state = list(start)

    def turn(a, b, c, d):
        for (x, y, z, shift) in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & mask
            state[z] ^= state[x]
            state[z] = (state[z] << shift | state[z] >> (32 - shift)) & mask

    for _ in range(4):
        for column in range(4):
            turn(column, column + 4, column + 8, column + 12)
        for row in range(4):
            turn(row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4)
    return [(a + b) & mask for a, b in zip(state, start)]


def draw(config, seed, epoch, index):
    key = seed.to_bytes(8, "little") + epoch.to_bytes(8, "little") + b"protovae:augment"
    words = chacha8(key, index)
    numbers = [words[at] | words[at + 1] << 32 for at in range(0, 16, 2)]
    padding, jitter = config["crop_padding"], config["jitter"] or {}
    fractions = [(number >> 11) / 2**53 for number in numbers]
    found = {
        "top": (numbers[0] * (2 * padding + 1) >> 64) - padding,
        "left": (numbers[1] * (2 * padding + 1) >> 64) - padding,
        "order": list(list(itertools.permutations(ORDER))[numbers[2] * 24 >> 64]),
        "flip": fractions[7] < config["flip"],
    }
    for name, fraction in zip(ORDER, fractions[3:7]):
        strength = jitter.get(name, 0)
        if strength > 0:
            low, high = (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)
            found[name] = low + fraction * (high - low)
    return found


def draws():
    everything = {
        "crop_padding": 2, "flip": 0.5, "jitter": {"brightness": 0.2, "contrast": 1.5, "saturation": 0.2, "hue": 0.1},
    }
    some = {"crop_padding": 4, "flip": 0.9, "jitter": {"contrast": 0.3}}
    geometry = {"crop_padding": 7, "flip": 0.1, "jitter": None}
    for config in (everything, some, geometry):
        for seed, epoch, index in ((0, 0, 0), (7, 0, 1), (7, 1, 1), (2**64 - 1, 2**40, 2**63), (1, 2, 2**32), (9, 9, 49_999)):
            yield {
                "config": config, "seed": seed, "epoch": epoch, "index": index, "draw": draw(config, seed, epoch, index),
            }


def main():
    # The reference key stream of no rounds but eight: key 0, nonce 0.
    block = b"".join(word.to_bytes(4, "little") for word in chacha8(bytes(32), 0))
    assert block.hex().startswith("3e00ef2f895f40d67f5bb8e81f09a5a1"), block.hex()
    pictures = images()
    golden = {
        "images": {
            name: {"shape": dict(zip(("channels", "height", "width"), image.shape)), "bytes": image.flatten().tolist()}
            for name, image in pictures.items()
        },
        "cases": [
            {"image": name, "draw": change, "expected": expected(pictures[name], change)} for name, change in cases()
        ],
        "draws": list(draws()),
    }
    lines = ["{"]
    lines.append('"images": ' + json.dumps(golden["images"]) + ",")
    for key in ("cases", "draws"):
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in golden[key])
        lines.append(f'"{key}": [\n{rows}\n]' + ("," if key == "cases" else ""))
    lines.append("}")
    path = pathlib.Path(__file__).parent / "golden" / "augmentation.json"
    path.write_text("\n".join(lines) + "\n")


main()
