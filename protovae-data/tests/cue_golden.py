"""Which of twelve images carry a planted cue: ChaCha8 written down anew from its definition (RFC 8439's rounds, 8 of them, with
a 64-bit counter and a 64-bit nonce). No packages needed.

    python protovae-data/tests/cue_golden.py
"""

import struct


def chacha8_first(key: bytes, stream: int) -> int:
    """The first eight bytes of the first block, as a little-endian number."""
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key)) + [
        0, 0, stream & 0xFFFFFFFF, stream >> 32]
    x = list(start)

    def turn(value: int, by: int) -> int:
        return ((value << by) | (value >> (32 - by))) & 0xFFFFFFFF

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for into, add, mix, by in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
            x[into] = (x[into] + x[add]) & 0xFFFFFFFF
            x[mix] = turn(x[mix] ^ x[into], by)

    for _ in range(4):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for first in range(4):
            quarter(first, 4 + (first + 1) % 4, 8 + (first + 2) % 4, 12 + (first + 3) % 4)
    low, high = [(x[i] + start[i]) & 0xFFFFFFFF for i in range(2)]
    return low | high << 32


for seed in [0, 7]:
    key = struct.pack("<QQ", seed, 0) + b"protovae:cue".ljust(16, b"\0")
    drawn = sorted((chacha8_first(key, index), index) for index in range(12))
    print(seed, sorted(index for _, index in drawn[:6]))
