"""The figures that tests/sets.rs expects of the published sets, from NumPy and SciPy instead of this crate.

    python3 independent_figures.py FOLDER

FOLDER holds the sets as the README says: mnist, fashion-mnist, cifar-10-batches-bin, svhn, quickdraw. A set that is not
there is passed over. For each split: the number of images, the number of each label, the first 20 labels, and mean and
deviation of pixels / 255 for each channel. For each set: the digest that `DataSplits::from_memory` describes, which sees
every label and every byte.
"""

import gzip
import hashlib
import pathlib
import sys

import numpy as np
import scipy.io


def report(name, **splits):
    """splits: images as (n, channels, height, width) bytes, and labels."""
    words = lambda numbers: np.asarray(numbers, dtype="<u8").tobytes()
    digest = None
    for split, (images, labels) in splits.items():
        labels = np.asarray(labels, dtype=np.int64)
        print(f"{name} {split}: {len(images)} images, shape {images.shape[1:]}")
        print("  of each label", np.bincount(labels, minlength=10).tolist())
        print("  first labels ", labels[:20].tolist())
        for channel in range(images.shape[1]):
            values = images[:, channel].astype(np.float64) / 255
            print(f"  channel {channel}: mean {values.mean():.6f} deviation {values.std():.6f}")
        if digest is None:
            digest = hashlib.sha256(words(images.shape[1:]))
        digest.update(words([len(images)]) + words(labels) + np.ascontiguousarray(images).tobytes())
    print(f"{name} digest {digest.hexdigest()}")


def idx(path):
    data = gzip.open(path).read()
    sides = [int.from_bytes(data[4 + 4 * n : 8 + 4 * n], "big") for n in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(sides)).reshape(sides)


def main(root):
    for name in ("mnist", "fashion-mnist"):
        if (root / name).exists():
            load = lambda stem: (
                idx(root / name / f"{stem}-images-idx3-ubyte.gz")[:, None],
                idx(root / name / f"{stem}-labels-idx1-ubyte.gz"),
            )
            report(name, train=load("train"), test=load("t10k"))
    folder = root / "cifar-10-batches-bin"
    if folder.exists():

        def load(*files):
            records = np.concatenate([np.fromfile(folder / f, np.uint8).reshape(-1, 3073) for f in files])
            return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]

        train = load(*(f"data_batch_{n}.bin" for n in range(1, 6)))
        report("cifar-10", train=train, test=load("test_batch.bin"))
    folder = root / "svhn"
    if folder.exists():

        def load(split):
            variables = scipy.io.loadmat(folder / f"{split}_32x32.mat")
            return variables["X"].transpose(3, 2, 0, 1), variables["y"].ravel() % 10

        report("svhn", train=load("train"), test=load("test"))
    folder = root / "quickdraw"
    if folder.exists():
        # Classes by name, the first 8 of 10 images for training, one image of each class in turn.
        arrays = [np.load(path) for path in sorted(folder.glob("*.npy"))]
        count = min(10_000, *(len(array) for array in arrays))
        of_train = count * 8 // 10

        def load(rows):
            images = np.stack([array[rows] for array in arrays], axis=1).reshape(-1, 1, 28, 28)
            return images, np.arange(len(images)) % len(arrays)

        report("quickdraw", train=load(slice(0, of_train)), test=load(slice(of_train, count)))


main(pathlib.Path(sys.argv[1]))
