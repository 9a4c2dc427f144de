"""Writes golden/resized.json: pictures made by a formula and resized by Pillow's BICUBIC, which tests/picture_golden.rs
makes by the same formula and resizes itself. With a folder of CelebA as argument, also prints the figures of
tests/celeba.rs. Needs numpy and Pillow."""

import json
import pathlib
import sys

import numpy
from PIL import Image

CASES = [  # width, height of the picture; width, height of the result; the step of the grid that is kept
    (178, 218, 224, 224, 9),
    (89, 109, 224, 224, 9),
    (178, 218, 32, 32, 2),
    (37, 23, 16, 48, 2),
]


def picture(width, height):
    x, y, channel = numpy.meshgrid(numpy.arange(width), numpy.arange(height), numpy.arange(3), indexing="xy")
    waves = 3 * x * x + 7 * y * (channel + 1) + x * y
    # Away from 0 and 255, where Pillow would clip what overshoots between its two passes.
    return (48 + waves // 9 % 160).astype(numpy.uint8)


def main():
    cases = []
    for width, height, to_width, to_height, step in CASES:
        resized = Image.fromarray(picture(width, height)).resize((to_width, to_height), Image.Resampling.BICUBIC)
        values = numpy.asarray(resized)
        cases.append(
            {
                "from": [width, height],
                "to": [to_width, to_height],
                "step": step,
                "mean": [float(mean) for mean in values.mean(axis=(0, 1))],
                "values": values[::step, ::step].reshape(-1).tolist(),
            }
        )
    target = pathlib.Path(__file__).parent / "golden" / "resized.json"
    target.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def celeba(folder):
    lines = (folder / "list_attr_celeba.txt").read_text().splitlines()
    names, rows = lines[1].split(), [line.split() for line in lines[2:]]
    print("files", lines[0], len(rows))
    for attribute in ("Male", "Smiling", "Young"):
        column = 1 + names.index(attribute)
        labels = [int(row[column]) > 0 for row in rows]
        tenth = len(rows) // 10
        print(attribute, "train", sum(labels[:-tenth]), "test", sum(labels[-tenth:]))
        print("  first", [int(label) for label in labels[:12]])
    for index in (0, 1, 2, 1499, 2699):
        image = Image.open(folder / "img_align_celeba" / rows[index][0]).convert("RGB")
        values = numpy.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)).astype(float)
        print(index, [round(mean, 3) for mean in values.mean(axis=(0, 1))], round(values.std(), 3))


if __name__ == "__main__":
    main()
    if len(sys.argv) > 1:
        celeba(pathlib.Path(sys.argv[1]))
