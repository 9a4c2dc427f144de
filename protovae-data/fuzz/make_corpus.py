"""Writes the corpus: small files, valid (`good-*`) and hostile (`bad-*`), for each reader of this crate.

    python3 make_corpus.py

Needs NumPy and SciPy, which write the files of their formats. The files lie in corpus/TARGET beside this script; what the
fuzzer found is kept there too, under other names. `tests/corpus.rs` reads them all, and `tests/mat.rs` and `tests/npy.rs`
know the values of some.
"""

import gzip
import io
import pathlib
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import scipy.io
import scipy.sparse

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def packed(data):
    return gzip.compress(data, mtime=0)


# IDX


def idx(kind, sides, data, magic=None):
    magic = 0x0800 + len(sides) if magic is None else magic
    return struct.pack(f">{1 + len(sides)}I", magic, *sides) + bytes(data)


images = idx("images", (2, 3, 2), range(12))
write("idx_images", "good-plain", images)
write("idx_images", "good-gzipped", packed(images))
write("idx_images", "bad-empty", b"")
write("idx_images", "bad-labels", idx("labels", (2,), (1, 2)))
write("idx_images", "bad-truncated", images[:-1])
write("idx_images", "bad-long", images + b"\0")
write("idx_images", "bad-huge", idx("images", (2**32 - 1, 2**32 - 1, 2**32 - 1), range(12)))
write("idx_images", "bad-huge-gzipped", packed(idx("images", (2**32 - 1, 1, 1), range(12))))
write("idx_images", "bad-nothing", idx("images", (0, 28, 28), ()))
write("idx_images", "bad-gzip-cut", packed(images)[:-9])
write("idx_images", "bad-html", b"<!DOCTYPE html><html>not found</html>")
write("idx_images", "bad-bomb", packed(idx("images", (1, 2, 2), bytes(1 << 20))))
labels = idx("labels", (5,), (0, 9, 3, 1, 2))
write("idx_labels", "good-plain", labels)
write("idx_labels", "good-gzipped", packed(labels))
write("idx_labels", "bad-images", images)
write("idx_labels", "bad-class", idx("labels", (2,), (0, 10)))
write("idx_labels", "bad-huge", idx("labels", (2**32 - 1,), (1,)))
write("idx_labels", "bad-truncated", labels[:-2])

# CIFAR-10


def record(label):
    return bytes([label]) + bytes([label]) * 3072


write("cifar_records", "good-one", record(7))
write("cifar_records", "good-two", record(0) + record(9))
write("cifar_records", "bad-empty", b"")
write("cifar_records", "bad-short", record(1)[:-1])
write("cifar_records", "bad-long", record(1) + b"\0")
write("cifar_records", "bad-class", record(10))
write("cifar_records", "bad-gzipped", packed(record(1)))


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
FOLDER = "cifar-10-batches-bin/"
members = [(f"{FOLDER}data_batch_{n}.bin", record(n)) for n in range(1, 6)]
members += [(FOLDER + "test_batch.bin", record(9)), (FOLDER + "readme.html", b"<html></html>")]
meta = (FOLDER + "batches.meta.txt", "\n".join(NAMES).encode() + b"\n\n")
write("cifar_archive", "good-official-folders", packed(tar(members + [meta])))
write("cifar_archive", "good-reversed-without-meta", packed(tar(members[::-1])))
write("cifar_archive", "bad-empty", b"")
write("cifar_archive", "bad-empty-tar", packed(tar([])))
write("cifar_archive", "bad-missing", packed(tar(members[1:])))
write("cifar_archive", "bad-twice", packed(tar(members[:1] + members)))
write("cifar_archive", "bad-class", packed(tar([(members[0][0], record(11))] + members[1:])))
write("cifar_archive", "bad-length", packed(tar([(members[0][0], b"\1" * 3000)] + members[1:])))
write("cifar_archive", "bad-meta", packed(tar([(meta[0], b"one\ntwo\n")] + members)))
write("cifar_archive", "bad-cut", packed(tar(members)[:8000]))
write("cifar_archive", "bad-checksum", packed(tar(members).replace(b"data_batch_2", b"data_batch_x", 1)))
write("cifar_archive", "bad-zip", b"PK\3\4" + bytes(600))


def sized(name, size, kind=b"0"):
    """A head that declares a size, right or not, with a checksum that fits."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = size
    head[136:148] = b"00000000000\0"
    head[148:156] = b" " * 8
    head[156:157] = kind
    head[257:265] = b"ustar\00000"
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


write("cifar_archive", "bad-huge-member", packed(sized(b"test_batch.bin", b"77777777777\0") + bytes(512)))
write("cifar_archive", "bad-huge-other", packed(sized(b"x", b"\x80" + b"\xff" * 11) + bytes(512)))
write("cifar_archive", "bad-huge-minus-one", packed(sized(b"x", b"\x80\0\0\0" + b"\xff" * 8) + bytes(512)))
write("cifar_archive", "bad-long-name-bomb", packed(sized(b"././@LongLink", b"00000400000\0", b"L") + bytes(1 << 17)))

# MAT


def savemat(variables, **options):
    out = io.BytesIO()
    scipy.io.savemat(out, variables, **options)
    # The text of the header holds the date; it means nothing.
    return b"MATLAB 5.0 MAT-file, written by SciPy".ljust(124) + out.getvalue()[124:]


rng = np.random.default_rng(1)
svhn = {
    "X": rng.integers(0, 256, (32, 32, 3, 2), dtype=np.uint8) // 64,
    "y": np.array([[10], [3]], dtype=np.uint8),
}
kinds = {
    "double": np.array([[1.5, -2.0, 0.0], [1e300, 4.0, 5.0]]),
    "single": np.array([[1.5], [-2.0]], dtype=np.float32),
    "i1": np.array([[-128, 127, 0]], dtype=np.int8),
    "u1": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "i2": np.array([[-32768, 32767]], dtype=np.int16),
    "u2": np.array([[65535, 1]], dtype=np.uint16),
    "i4": np.array([[-(2**31), 2**31 - 1]], dtype=np.int32),
    "u4": np.array([[2**32 - 1]], dtype=np.uint32),
    "i8": np.array([[-(2**53), 7]], dtype=np.int64),
    "u8": np.array([[2**53]], dtype=np.uint64),
    "empty": np.zeros((0, 3)),
}
passed_over = {
    "text": "some text",
    "cell": np.array([1, "two"], dtype=object),
    "struct": {"a": 1.0, "b": np.arange(3)},
    "complex": np.array([1 + 2j]),
    "sparse": scipy.sparse.csc_matrix(np.eye(3)),
    "last": np.array([[42]], dtype=np.uint8),
}
for name, options in (("plain", {}), ("packed", {"do_compression": True})):
    write("mat", f"good-svhn-{name}", savemat(svhn, **options))
    write("mat", f"good-kinds-{name}", savemat(kinds, **options))
    write("mat", f"good-passed-over-{name}", savemat(passed_over, **options))


def element(kind, data, order="<"):
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(name, code, sides, kind, data, order="<", flags=0):
    return element(
        14,
        element(6, struct.pack(order + "II", code | flags, 0), order)
        + element(5, struct.pack(f"{order}{len(sides)}i", *sides), order)
        + element(1, name, order)
        + element(kind, data, order),
        order,
    )


def mat(*elements, order="<", version=0x0100):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", version)
    return head + (b"IM" if order == "<" else b"MI") + b"".join(elements)


def zipped(data):
    data = zlib.compress(data, 9)
    return struct.pack("<II", 15, len(data)) + data


one = array(b"X", 9, (2, 2), 2, bytes((1, 2, 3, 4)))
write("mat", "good-big-endian", mat(array(b"y", 6, (3, 1), 4, struct.pack(">3H", 1, 2, 770), ">"), order=">"))
write("mat", "good-stored-narrower", mat(array(b"y", 6, (2, 2), 3, struct.pack("<4h", -1, 2, 300, 4))))
write("mat", "good-unknown-element", mat(element(77, b"whatever"), one))
write("mat", "bad-empty", b"")
write("mat", "bad-header", mat()[:100])
write("mat", "bad-order", mat(one).replace(b"IM", b"XX", 1))
write("mat", "bad-version-7.3", mat(version=0x0200) + b"\x89HDF\r\n\x1a\n")
write("mat", "bad-hdf5", b"\x89HDF\r\n\x1a\n" + bytes(300))
write("mat", "bad-truncated", mat(one)[:-3])
write("mat", "bad-truncated-packed", mat(zipped(one))[:-3])
write("mat", "bad-checksum", mat(zipped(one)[:-1] + b"\0"))
write("mat", "bad-after-end", mat(one) + b"abc")
write("mat", "bad-twice", mat(one, one))
write("mat", "bad-count", mat(array(b"X", 9, (2, 3), 2, bytes(4))))
write("mat", "bad-huge", mat(array(b"X", 9, (2**31 - 1, 2**31 - 1, 2**31 - 1), 2, bytes(4))))
write("mat", "bad-huge-packed", mat(zipped(array(b"X", 9, (2**31 - 1, 2), 2, bytes(4)))))
write("mat", "bad-negative", mat(array(b"X", 9, (-1, -4), 2, bytes(4))))
write("mat", "bad-one-dimension", mat(array(b"X", 9, (4,), 2, bytes(4))))
write("mat", "bad-storage", mat(array(b"X", 9, (2, 2), 14, bytes(4))))
write("mat", "bad-name", mat(array(b"X" * 2000, 9, (2, 2), 2, bytes(4))))
write("mat", "bad-flags", mat(element(14, element(5, bytes(8)))))
write("mat", "bad-length-near-2-32", mat(struct.pack("<II", 14, 2**32 - 1)))
write("mat", "bad-packed-length", mat(struct.pack("<II", 15, 2**32 - 1)))
write("mat", "bad-small-element", mat(struct.pack("<HHI", 1, 5, 0)))
lying = struct.pack("<II", 14, 2**32 - 8) + one[8:56] + struct.pack("<II", 2, 2**32 - 1)
write("mat", "bad-packed-bomb", mat(zipped(lying + bytes(1 << 20))))
write("mat", "bad-goes-on", mat(zipped(one + bytes(1 << 16))))
write("mat", "bad-no-zlib", mat(struct.pack("<II", 15, 8) + b"notzlib!"))

# NPY


def npy(values, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, values, version=version)
    return out.getvalue()


def headed(text, data=b"", version=(1, 0), length=None):
    text = text.encode()
    length = len(text) if length is None else length
    form = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, length) + text + data


sketches = (np.arange(3 * 784) % 251).astype(np.uint8).reshape(3, 784)
write("npy", "good-version-1", npy(sketches, (1, 0)))
write("npy", "good-version-2", npy(sketches[:1], (2, 0)))
write("npy", "good-version-3", npy(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), (3, 0)))
write("npy", "good-scalar", npy(np.array(7, dtype=np.uint8)))
write("npy", "good-vector", npy(np.arange(5, dtype=np.uint8)))
write("npy", "good-no-rows", npy(np.zeros((0, 784), dtype=np.uint8)))
write("npy", "good-gzipped", packed(npy(sketches)))
write("npy", "good-python-2", headed("{\"shape\": (2L, 1L), \"descr\": \"|u1\", 'fortran_order':False}", b"ab"))
write("npy", "bad-empty", b"")
write("npy", "bad-magic", b"NUMPY\x93\1\0" + bytes(100))
write("npy", "bad-version", headed("{}", version=(9, 0)))
write("npy", "bad-float", npy(np.zeros(3)))
write("npy", "bad-signed", npy(np.zeros(3, dtype=np.int8)))
write("npy", "bad-records", npy(np.zeros(3, dtype=[("a", "u1")])))
write("npy", "bad-object", headed("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\4."))
write("npy", "bad-fortran", npy(np.asfortranarray(np.zeros((2, 3), dtype=np.uint8))))
write("npy", "bad-truncated", npy(sketches)[:-1])
write("npy", "bad-long", npy(sketches) + b"\0")
write("npy", "bad-header-cut", npy(sketches)[:40])
GOOD = "'descr': '|u1', 'fortran_order': False, 'shape': "
for name, text in {
    "huge": "{" + GOOD + "(18446744073709551615,)}",
    "beyond-64-bits": "{" + GOOD + "(18446744073709551616,)}",
    "overflow": "{" + GOOD + "(4294967296, 4294967296)}",
    "huge-times-zero": "{" + GOOD + "(0, 18446744073709551615, 3)}",
    "negative": "{" + GOOD + "(-1,)}",
    "no-tuple": "{" + GOOD + "(3)}",
    "sides": "{" + GOOD + "(" + "1," * 65 + ")}",
    "extra-key": "{" + GOOD + "(3,), 'x': 1}",
    "twice": "{" + GOOD + "(3,), 'shape': (3,)}",
    "missing": "{'descr': '|u1', 'shape': (3,)}",
    "open": "{" + GOOD + "(3,)",
    "after": "{" + GOOD + "(3,)} ()",
    "code": "__import__('os')",
    "nothing": "",
    "truth": "{'descr': '|u1', 'fortran_order': 0, 'shape': (3,)}",
}.items():
    write("npy", f"bad-{name}", headed(text, b"abc"))
write("npy", "bad-header-length", headed("{}", version=(2, 0), length=2**32 - 1))

# Pictures


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


small = png(2, 2, b"\0\x10\x20\0\x30\x40")
bmp = struct.pack("<2sIHHI", b"BM", 62, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 1, 2, 1, 24, 0, 8, 0, 0, 0, 0)
bmp += bytes((1, 2, 3, 0, 4, 5, 6, 0))
write("picture", "good-grey-png", small)
write("picture", "good-bmp", bmp)
write("picture", "bad-empty", b"")
write("picture", "bad-gif", b"GIF89a" + bytes(20))
write("picture", "bad-truncated-png", small[:-30])
write("picture", "bad-crc-png", small.replace(b"IHDR\0\0\0\2", b"IHDR\0\0\0\3"))
write("picture", "bad-huge-png", png(2**31 - 1, 2**31 - 1, b"\0"))
write("picture", "bad-wide-png", png(60000, 2, b"\0" * 120002))
write("picture", "bad-no-picture-jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0")
write("picture", "bad-huge-bmp", bmp[:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bmp[26:])

# CelebA's list of attributes

attributes = b"3\nYoung Male\n000001.jpg  1 -1\n000002.jpg -1  1\n000003.jpg  1  1\n"
write("celeba_attributes", "good-list", attributes)
write("celeba_attributes", "good-csv", b"image_id,Young,Male\n1.jpg,1,-1\n2.jpg,-1,1\n")
write("celeba_attributes", "bad-empty", b"")
write("celeba_attributes", "bad-count", attributes.replace(b"3\n", b"4\n", 1))
write("celeba_attributes", "bad-huge-count", attributes.replace(b"3\n", b"18446744073709551615\n", 1))
write("celeba_attributes", "bad-value", attributes.replace(b"-1  1", b"-1  0"))
write("celeba_attributes", "bad-twice", attributes.replace(b"000002", b"000001"))
write("celeba_attributes", "bad-attribute", attributes.replace(b"Male", b"Mail"))
write("celeba_attributes", "bad-columns", attributes.replace(b"-1  1", b"-1"))
write("celeba_attributes", "bad-no-text", b"1\nYoung Male\n\xff\xfe.jpg 1 1\n")
write("celeba_attributes", "bad-long-line", b"1\n" + b"a " * 2000)

# Zip archives of pictures


def pack(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


archive = pack([("faces/1.png", small), ("faces/2.bmp", bmp)])
write("archive", "good-deflated", archive)
write("archive", "good-stored", pack([("a.png", small)], zipfile.ZIP_STORED))
write("archive", "bad-empty", b"")
write("archive", "bad-cut", archive[:-10])
write("archive", "bad-no-directory", archive[: archive.index(b"PK\1\2")])
write("archive", "bad-way-out", pack([("../../a.png", small)]))
write("archive", "bad-checksum", pack([("a.png", small)], zipfile.ZIP_STORED).replace(small[20:30], bytes(10)))
end = archive.rindex(b"PK\5\6")
write("archive", "bad-count", archive[: end + 8] + b"\xfe\xff\xfe\xff" + archive[end + 12 :])
write("archive", "bad-offset", archive[: end + 16] + b"\xfe\xff\xff\xff" + archive[end + 20 :])
