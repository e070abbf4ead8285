"""One case of an op: its inputs, attributes and outputs as a record, and where inputs come from.

Random inputs are small dyadic fractions, so f32 and f64 hold them alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import weights

Tensor = torch.Tensor
Case = dict[str, Any]
Pairs = list[list[int]]  # (low, high) per axis

NAMES = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool",
}  # fmt: skip
INF, NAN = math.inf, math.nan

CASES: list[Case] = []


def real(key: str, *shape: int, low: float = -2, high: float = 2, parts: int = 8) -> Tensor:
    """Fractions k / parts in [low, high), f64, a function of the key."""
    u = weights.uniform(f"ops:{key}", shape).astype(np.float64)
    values = low + (high - low) * (u + 1) / 2
    return torch.from_numpy(np.asarray(np.floor(values * parts) / parts))


def ints(key: str, *shape: int, below: int, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.from_numpy(weights.tokens(f"ops:{key}", shape, below)).to(dtype)


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def number(value: float | int | bool) -> float | int | bool | str:
    """JSON has no NaN and no infinities: those are written as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def packed(tensor: Tensor) -> dict[str, Any]:
    data = [number(v) for v in tensor.flatten().tolist()]
    return {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data": data}


def add(
    op: str, case: str, inputs: Iterable[Tensor], outputs: Tensor | tuple[Tensor, ...], note: str = "", **attrs: Any
) -> None:
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    row: Case = {
        "op": op,
        "case": case,
        "inputs": [packed(t) for t in inputs],
        "attrs": {name: number(value) for name, value in attrs.items()},
        "outputs": [packed(t) for t in outputs],
    }
    CASES.append(row | ({"note": note} if note else {}))


def padded(x: Tensor, padding: Pairs, value: float = 0.0) -> Tensor:
    return F.pad(x, [n for low_high in reversed(padding) for n in low_high], value=value)
