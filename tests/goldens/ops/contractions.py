"""Einsum patterns and matrix products."""

from __future__ import annotations


import torch
from torch.nn import functional as F

from ops.case import add, real


EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("i j, j k -> i k", [(2, 3), (3, 4)]),
    ("i j, k j -> i k", [(2, 3), (4, 3)]),
    ("j i, j k -> i k", [(3, 2), (3, 4)]),
    ("i j, j k -> k i", [(2, 3), (3, 4)]),
    ("b i j, b j k -> b i k", [(2, 2, 3), (2, 3, 2)]),
    ("b i j, j k -> b i k", [(2, 2, 3), (3, 2)]),
    ("b h i d, b h j d -> b h i j", [(1, 2, 3, 4), (1, 2, 2, 4)]),
    ("b h i j, b h j d -> b h i d", [(1, 2, 3, 2), (1, 2, 2, 4)]),
    ("b i h d, b j h d -> b h i j", [(1, 3, 2, 2), (1, 2, 2, 2)]),
    ("i, i ->", [(5,), (5,)]),
    ("i, j -> i j", [(3,), (2,)]),
    ("i j, i j -> i", [(2, 3), (2, 3)]),
    ("i j -> j i", [(2, 3)]),
    ("i j k -> j", [(2, 3, 2)]),
    ("i i -> i", [(3, 3)]),
    ("i i ->", [(3, 3)]),
    ("i j, j k, k l -> i l", [(2, 3), (3, 2), (2, 2)]),
    ("b c h w, o c -> b o h w", [(1, 3, 2, 2), (2, 3)]),
]


def contractions() -> None:
    for pattern, shapes in EINSUMS:
        operands = [real(f"einsum{pattern}{i}", *shape, parts=4) for i, shape in enumerate(shapes)]
        add("einsum", pattern, operands, torch.einsum(pattern.replace(" ", ""), *operands), pattern=pattern)
    for a, b in [
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 2, 3), (3, 2)),
        ((2, 1, 2, 3), (3, 3, 2)),
        ((1, 1), (1, 1)),
        ((2, 0), (0, 3)),
    ]:
        x, y = real(f"matmul_x{a}", *a, parts=4), real(f"matmul_y{b}", *b, parts=4)
        add("matmul", f"{list(a)}_by_{list(b)}", [x, y], x @ y)
    x, w, b = real("linear_x", 2, 2, 3, parts=4), real("linear_w", 4, 3, parts=4), real("linear_b", 4, parts=4)
    add("linear", "bias", [x, w, b], F.linear(x, w, b))


GROUPS = [contractions]
