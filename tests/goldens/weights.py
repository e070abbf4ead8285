"""Weights that no file has to carry: a tensor's values are a function of its name and shape.

Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011), keyed by the tensor's
name and counted by the element's row-major index. Every step is exact or a single f32 rounding, so an
implementation in any language that follows README.md agrees bit for bit.

Run as a script to write `weights.json`, the vectors that such an implementation is tested against.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Shape = tuple[int, ...]

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
CHUNK = 1 << 15  # elements at a time: the working set stays in cache


def fnv1a64(name: str) -> int:
    """The FNV-1a hash of the name's UTF-8 bytes: the tensor's key."""
    hash = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        hash = ((hash ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return hash


def philox(counter: list[np.ndarray], key: int) -> list[np.ndarray]:
    """The four output words (as u64 arrays holding u32 values) for each counter of four words."""
    c0, c1, c2, c3 = (c.astype(np.uint64) for c in counter)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ np.uint64(k0), p1 & LOW, (p0 >> HALF) ^ c3 ^ np.uint64(k1), p0 & LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def words(key: int, count: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Output word 0 for the indices 0..count, chunk by chunk, with the slice each chunk fills."""
    zero = np.zeros(1, np.uint64)
    for start in range(0, count, CHUNK):
        index = np.arange(start, min(start + CHUNK, count), dtype=np.uint64)
        yield slice(start, start + len(index)), philox([index & LOW, index >> HALF, zero, zero], key)[0]


def uniform(key_name: str, shape: Shape) -> np.ndarray:
    """Multiples of 2^-23 in [-1, 1), f32, without rounding."""
    flat = np.empty(math.prod(shape), np.float32)
    for part, word in words(fnv1a64(key_name), flat.size):
        flat[part] = (word >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return flat.reshape(shape)


def rule(name: str, shape: Shape) -> tuple[float, float]:
    """(offset, scale): the tensor's values are `offset + scale * uniform`."""
    if len(shape) >= 2:
        return 0.0, math.sqrt(3.0 / math.prod(shape[1:]))
    if name.endswith(".weight"):
        return 1.0, 0.1
    if name.endswith("running_var"):
        return 1.0, 0.5
    return 0.0, 0.1


def weight(name: str, shape: Shape, key_name: str | None = None, gain: float = 1.0) -> np.ndarray:
    """The generated f32 values of the member called `name`; `key_name` draws them under another name's key, and `gain`
    multiplies those of two axes or more."""
    offset, scale = rule(name, shape)
    values = uniform(key_name or name, shape)
    values *= np.float32(scale)
    if len(shape) >= 2:
        values *= np.float32(gain)
    if offset:
        values += np.float32(offset)
    return values


def tokens(key_name: str, shape: Shape, vocabulary: int) -> np.ndarray:
    """Integers in 0..vocabulary, i64: the words modulo the vocabulary."""
    flat = np.empty(math.prod(shape), np.int64)
    for part, word in words(fnv1a64(key_name), flat.size):
        flat[part] = (word % np.uint64(vocabulary)).astype(np.int64)
    return flat.reshape(shape)


PUBLISHED = [  # known answers of the Random123 distribution: counter, key, output
    ((0,) * 4, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

SAMPLES: list[tuple[str, Shape]] = [
    ("patches.weight", (768, 3, 16, 16)),
    ("class", (1, 1, 768)),
    ("position", (1, 197, 768)),
    ("blocks.3.attn.qkv.bias", (2304,)),
    ("norm.weight", (768,)),
    ("layer1.0.bn1.running_mean", (64,)),
    ("layer1.0.bn1.running_var", (64,)),
    ("wte.weight", (50257, 768)),
    ("weight_ih_l0", (2048, 512)),
]


def check_published() -> None:
    for counter, key, expected in PUBLISHED:
        got = philox([np.array([c], np.uint64) for c in counter], key)
        assert tuple(int(word[0]) for word in got) == expected, f"philox({counter}, {key:#x})"


def vector(values: np.ndarray) -> dict[str, object]:
    """The first bits, the last bits, and the sum of all bits (modulo 2^64) of a tensor."""
    bits = values.reshape(-1).view(np.uint32)
    return {
        "first": [f"{b:08x}" for b in bits[:4]],
        "last": f"{bits[-1]:08x}",
        "sum": f"{int(bits.sum(dtype=np.uint64)):016x}",
    }


def vectors() -> dict[str, object]:
    def hexed(ws: tuple[int, ...]) -> list[str]:
        return [f"{w:08x}" for w in ws]

    return {
        "philox": [{"counter": hexed(c), "key": f"{k:016x}", "output": hexed(o)} for c, k, o in PUBLISHED],
        "weights": [
            {"name": name, "shape": list(shape), "key": f"{fnv1a64(name):016x}", **vector(weight(name, shape))}
            for name, shape in SAMPLES
        ],
        "uniform": [
            {
                "key_name": "input:vit_b16",
                "shape": [1, 3, 224, 224],
                **vector(uniform("input:vit_b16", (1, 3, 224, 224))),
            }
        ],
        "tokens": [
            {
                "key_name": "input:gpt2_prefill",
                "vocabulary": 50257,
                "values": tokens("input:gpt2_prefill", (16,), 50257).tolist(),
            }
        ],
    }


if __name__ == "__main__":
    check_published()
    rows = ",\n".join(
        f'  "{group}": [\n' + ",\n".join("    " + json.dumps(row) for row in entries) + "\n  ]"
        for group, entries in vectors().items()
    )
    Path(__file__).with_name("weights.json").write_text("{\n" + rows + "\n}\n")
