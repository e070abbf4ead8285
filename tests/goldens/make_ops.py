"""Writes `ops.json`: what each op means, as small cases computed by PyTorch in f64.

Random inputs are small dyadic fractions, so f32 and f64 hold them alike. README.md gives the format, and
says where we chose a meaning that PyTorch leaves open or gives otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import weights

Tensor = torch.Tensor
Case = dict[str, Any]

NAMES = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool",
}  # fmt: skip
INF, NAN = math.inf, math.nan

CASES: list[Case] = []


# ---- building blocks


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


def add(op: str, case: str, inputs: Iterable[Tensor], outputs: Tensor | tuple[Tensor, ...], note: str = "", **attrs: Any) -> None:
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    row: Case = {
        "op": op,
        "case": case,
        "inputs": [packed(t) for t in inputs],
        "attrs": {name: number(value) for name, value in attrs.items()},
        "outputs": [packed(t) for t in outputs],
    }
    CASES.append(row | ({"note": note} if note else {}))


# ---- elementwise


ANY = f64(NAN, INF, -INF, 0.0, -0.0, 40.0, -40.0)
FINITE = f64(0.0, 40.0, -40.0, 0.0009765625, -0.0009765625)
HALVES = f64(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.25, -0.75, 3.0, INF, NAN)
SIGNED = f64(-INF, -3.0, -0.0, 0.0, 3.0, INF)
Unary = Callable[[Tensor], Tensor]

UNARY: list[tuple[str, Unary, float, float, Tensor]] = [  # name, meaning, the range of the random case, edges
    ("neg", torch.neg, -2, 2, ANY),
    ("abs", torch.abs, -2, 2, ANY),
    ("exp", torch.exp, -4, 4, ANY),
    ("log", torch.log, 0.125, 4, f64(NAN, INF, -1.0, 0.0, 1.0, 2.0**-120)),
    ("log1p", torch.log1p, -0.75, 4, f64(NAN, INF, -1.0, 0.0, 2.0**-40)),
    ("expm1", torch.expm1, -2, 2, f64(NAN, INF, -INF, 0.0, 2.0**-40)),
    ("sqrt", torch.sqrt, 0, 4, f64(NAN, INF, -1.0, 0.0, 4.0)),
    ("rsqrt", torch.rsqrt, 0.125, 4, f64(NAN, INF, -1.0, 0.0, 4.0)),
    ("reciprocal", torch.reciprocal, 0.125, 4, f64(NAN, INF, -INF, 0.0, 4.0)),
    ("square", torch.square, -2, 2, ANY),
    ("tanh", torch.tanh, -4, 4, ANY),
    ("sigmoid", torch.sigmoid, -6, 6, ANY),
    ("erf", torch.erf, -3, 3, ANY),
    ("gelu", F.gelu, -4, 4, FINITE),
    ("silu", F.silu, -4, 4, FINITE),
    ("relu", F.relu, -2, 2, ANY),
    ("softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x)), -4, 4, ANY),
    ("sin", torch.sin, -7, 7, f64(NAN, INF, -INF, 0.0, 1000.0)),
    ("cos", torch.cos, -7, 7, f64(NAN, INF, -INF, 0.0, 1000.0)),
    ("floor", torch.floor, -3, 3, HALVES),
    ("ceil", torch.ceil, -3, 3, HALVES),
    ("trunc", torch.trunc, -3, 3, HALVES),
    ("round", torch.round, -3, 3, HALVES),
    ("sign", torch.sign, -2, 2, SIGNED),
    ("is_nan", torch.isnan, -2, 2, ANY),
    ("is_inf", torch.isinf, -2, 2, ANY),
    ("is_finite", torch.isfinite, -2, 2, ANY),
]


def unary() -> None:
    for name, meaning, low, high, edges in UNARY:
        x = real(name, 3, 4, low=low, high=high)
        attrs = {"approximate": "none"} if name == "gelu" else {}
        add(name, "random", [x], meaning(x), **attrs)
        add(name, "edges", [edges], meaning(edges), **attrs)
    for case, x in [("random", real("gelu_tanh", 3, 4, low=-4, high=4)), ("edges", FINITE)]:
        add("gelu", f"tanh_{case}", [x], F.gelu(x, approximate="tanh"), approximate="tanh")
    for low, high in [(-1.0, 1.0), (0.0, INF), (-INF, 0.5)]:
        x = torch.cat([real("clip", 6), f64(NAN, INF, -INF)])
        add("clip", f"{low}_to_{high}", [x], torch.clip(x, low, high), low=low, high=high)
    slope = real("leaky", 8)
    add("leaky_relu", "slope", [slope], F.leaky_relu(slope, 0.2), slope=0.2)


BINARY: list[tuple[str, Callable[[Tensor, Tensor], Tensor]]] = [
    ("add", torch.add),
    ("sub", torch.sub),
    ("mul", torch.mul),
    ("div", torch.div),
    ("maximum", torch.maximum),
    ("minimum", torch.minimum),
    ("eq", torch.eq),
    ("ne", torch.ne),
    ("lt", torch.lt),
    ("le", torch.le),
    ("gt", torch.gt),
    ("ge", torch.ge),
]
BROADCASTS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (4, 1)), ((3,), ()), ((0, 3), (3,))]


def binary() -> None:
    left = f64(NAN, 1.0, INF, -INF, INF, 0.0, -0.0, 1.0, -1.0, 0.0)
    right = f64(1.0, NAN, 1.0, INF, INF, 0.0, 0.0, 0.0, 0.0, INF)
    for name, meaning in BINARY:
        compares = name in ("eq", "ne", "lt", "le", "gt", "ge")
        for a, b in BROADCASTS[:2] if compares else BROADCASTS:
            parts = 1 if compares else 8
            x, y = real(f"{name}x{a}", *a, parts=parts), real(f"{name}y{b}", *b, parts=parts) + (0.0625 if name == "div" else 0)
            add(name, f"{list(a)}_with_{list(b)}", [x, y], meaning(x, y))
        if name not in ("maximum", "minimum"):
            add(name, "edges", [left, right], meaning(left, right))
        else:
            keep = [i for i in range(len(left)) if i not in (5, 6)]  # which zero wins is left open
            add(name, "edges", [left[keep], right[keep]], meaning(left[keep], right[keep]), note="NaN wins")
    base, exponent = real("pow_base", 6, low=0.125, high=3), real("pow_exponent", 6)
    add("pow", "random", [base, exponent], base**exponent)
    base, exponent = f64(-2, -2, -2, 0, 0, 0, 2, INF, -INF, NAN, -8, 1), f64(3, 2, -1, 0, 2, -1, -2, 2, 3, 0, 0.5, NAN)
    add("pow", "edges", [base, exponent], base**exponent)
    x, y = f64(7, -7, 7, -7, 5.5, -5.5, 6, -6), f64(3, 3, -3, -3, 2, 2, 3, 3)
    add("floor_mod", "float", [x, y], torch.remainder(x, y), note="the sign of the divisor")
    add("trunc_mod", "float", [x, y], torch.fmod(x, y), note="the sign of the dividend")
    add("floor_div", "float", [x, y], torch.floor(x / y))


def integers() -> None:
    x = torch.tensor([7, -7, 7, -7, 6, -6, 0, 1, -1])
    y = torch.tensor([3, 3, -3, -3, 3, 3, 5, 2, 2])
    divisions = [
        ("floor_div", lambda a, b: torch.div(a, b, rounding_mode="floor")),
        ("trunc_div", lambda a, b: torch.div(a, b, rounding_mode="trunc")),
        ("floor_mod", torch.remainder),
        ("trunc_mod", torch.fmod),
    ]
    for name, meaning in divisions:
        for dtype in (torch.int64, torch.int32):
            a, b = x.to(dtype), y.to(dtype)
            add(name, NAMES[dtype], [a, b], meaning(a, b))
    big = torch.tensor([2**31 - 1, -(2**31), 65536], dtype=torch.int32)
    other = torch.tensor([1, -1, 65536], dtype=torch.int32)
    add("add", "i32_wraps", [big, other], big + other)
    add("sub", "i32_wraps", [big, other], big - other)
    add("mul", "i32_wraps", [big, other], big * other)
    small = torch.tensor([-128, -1, 0, 127], dtype=torch.int8)
    add("neg", "i8_wraps", [small], -small)
    add("abs", "i64", [x], x.abs())
    add("sign", "i64", [x], x.sign())
    add("maximum", "i64", [x, y], torch.maximum(x, y))
    add("minimum", "i64", [x, y], torch.minimum(x, y))
    add("lt", "i64", [x, y], x < y)
    a, b = torch.tensor([12, 255, 0, 170], dtype=torch.uint8), torch.tensor([10, 15, 7, 85], dtype=torch.uint8)
    p, q = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    for name, meaning in [("and", torch.bitwise_and), ("or", torch.bitwise_or), ("xor", torch.bitwise_xor)]:
        add(name, "u8", [a, b], meaning(a, b))
        add(name, "bool", [p, q], meaning(p, q))
    add("not", "bool", [p], ~p)


def choices() -> None:
    mask = torch.tensor([[True, False, True], [False, True, False]])
    x, y = real("where_x", 2, 3), real("where_y", 2, 3)
    add("where", "same", [mask, x, y], torch.where(mask, x, y))
    add("where", "broadcast", [mask, x[0], y[:1, :1]], torch.where(mask, x[0], y[:1, :1]))
    blocked = torch.full_like(x, -INF)
    add("where", "the_other_side_is_not_touched", [mask, x, blocked], torch.where(mask, x, blocked))
    add("where", "i64", [mask, ints("wi", 2, 3, below=9), ints("wj", 2, 3, below=9)],
        torch.where(mask, ints("wi", 2, 3, below=9), ints("wj", 2, 3, below=9)))  # fmt: skip


# ---- casts


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Toward zero, clamped to the type's range, NaN to zero."""
    info = torch.iinfo(dtype)
    return torch.nan_to_num(x, nan=0.0, posinf=INF, neginf=-INF).trunc().clamp(info.min, info.max).to(dtype)


def casts() -> None:
    def cast(case: str, x: Tensor, y: Tensor, note: str = "") -> None:
        add("cast", case, [x], y, note, to=NAMES[y.dtype])

    halves = torch.tensor(
        [1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, 65504.0, 65519.0, 65520.0, -1e6, 2**-24, 2**-25, 3 * 2**-26, 0.1,
         -0.0, INF, -INF, NAN], dtype=torch.float32)  # fmt: skip
    cast("f32_to_f16", halves, halves.to(torch.float16), "ties to even, subnormals kept, overflow to infinity")
    brains = torch.tensor(
        [1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.3895314e38, 3.4e38, 0.1, -0.1, 2**-133, -0.0, INF, -INF, NAN],
        dtype=torch.float32)  # fmt: skip
    cast("f32_to_bf16", brains, brains.to(torch.bfloat16), "ties to even")
    doubles = f64(0.1, 1 + 2**-24, 1 + 3 * 2**-24, 1e39, 1e-46, -0.0, NAN)
    cast("f64_to_f32", doubles, doubles.to(torch.float32))
    for source, target in [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float16, torch.bfloat16)]:
        x = torch.tensor([0.1, -2.5, 65504.0, 2**-24, INF, NAN], dtype=torch.float32).to(source)
        cast(f"{NAMES[source]}_to_{NAMES[target]}", x, x.to(target))
    wide = torch.tensor([0.0, 0.9, -0.9, 1.5, -1.5, 2.5, 126.9, 127.9, 128.0, -128.9, 255.9, 256.0, 1e10, -1e10, INF, -INF, NAN], dtype=torch.float32)
    for target in (torch.int8, torch.uint8, torch.int32, torch.int64):
        cast(f"f32_to_{NAMES[target]}", wide, saturated(wide.double(), target) if target != torch.int64 else long(wide),
             "toward zero, saturating, NaN to zero")  # fmt: skip
    many = torch.tensor([0, 1, -1, 127, 128, 255, 256, -129, 65537], dtype=torch.int32)
    for target in (torch.int8, torch.uint8, torch.int64):
        cast(f"i32_to_{NAMES[target]}", many, many.to(target), "low bits kept")
    exact = torch.tensor([2**24 + 1, 2**24 + 3, -(2**24 + 1), 2**31 - 1, 7], dtype=torch.int32)
    cast("i32_to_f32", exact, exact.to(torch.float32), "ties to even")
    bytes_ = torch.tensor([0, 127, 128, 255], dtype=torch.uint8)
    cast("u8_to_f32", bytes_, bytes_.to(torch.float32))
    cast("u8_to_i8", bytes_, bytes_.to(torch.int8), "low bits kept")
    flags = torch.tensor([True, False])
    cast("bool_to_f32", flags, flags.to(torch.float32))
    cast("bool_to_i64", flags, flags.to(torch.int64))
    truths = torch.tensor([0.0, -0.0, 0.5, -1.0, INF, NAN], dtype=torch.float32)
    cast("f32_to_bool", truths, truths != 0, "not equal to zero, so NaN is true")
    cast("i32_to_bool", many, many != 0)


def long(x: Tensor) -> Tensor:
    """As `saturated`, for i64, whose limits f64 does not hold."""
    def one(v: float) -> int:
        if math.isnan(v):
            return 0
        return 2**63 - 1 if v >= 2.0**63 else -(2**63) if v < -(2.0**63) else int(v)

    return torch.tensor([one(v) for v in x.tolist()], dtype=torch.int64)


# ---- reductions and normalisations


def reductions() -> None:
    table: list[tuple[str, Callable[..., Tensor]]] = [
        ("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax), ("min", torch.amin), ("logsumexp", torch.logsumexp),
    ]  # fmt: skip
    for name, meaning in table:
        x = real(f"reduce_{name}", 2, 3, 4)
        for axes, keep in [([0], False), ([1], True), ([2], False), ([0, 2], False), ([0, 1, 2], False), ([-1, 0], True)]:
            add(name, f"axes_{axes}{'_keep' if keep else ''}", [x], meaning(x, dim=axes, keepdim=keep), axes=axes, keep=keep)
    x = real("prod", 2, 3, low=-2, high=2, parts=4)
    for axis, keep in [(0, False), (1, True)]:
        add("prod", f"axes_[{axis}]{'_keep' if keep else ''}", [x], x.prod(axis, keepdim=keep), axes=[axis], keep=keep)
    x = real("var", 2, 5)
    for correction in (0, 1):
        add("var", f"correction_{correction}", [x], x.var(1, correction=correction), axes=[1], keep=False, correction=correction)
    none = torch.zeros(0, 3, dtype=torch.float64)
    add("sum", "empty", [none], none.sum(0), axes=[0], keep=False)
    add("prod", "empty", [none], none.prod(0), axes=[0], keep=False)
    x = f64(1, NAN, 3, 2, INF, -INF, -INF, -INF, 0, INF, -INF, 1).reshape(4, 3)
    for name, meaning in table:
        add(name, "edges", [x], meaning(x, dim=[1]), "NaN wins" if name in ("max", "min") else "", axes=[1], keep=False)
    whole = ints("reduce_i64", 2, 4, below=9) - 4
    for name, meaning in [("sum", torch.sum), ("max", torch.amax), ("min", torch.amin)]:
        add(name, "i64", [whole], meaning(whole, dim=1), axes=[1], keep=False)
    flags = torch.tensor([[True, True], [True, False], [False, False]])
    add("any", "rows", [flags], flags.any(1), axes=[1], keep=False)
    add("all", "rows", [flags], flags.all(1), axes=[1], keep=False)
    x = real("arg", 3, 4, parts=1024)
    ties = f64(1, 3, 3, 0, 0, 2, 2, 1).reshape(2, 4)
    nans = f64(1, NAN, 3, NAN).reshape(1, 4)
    for name, meaning in [("argmax", torch.argmax), ("argmin", torch.argmin)]:
        for axis, keep in [(0, False), (1, True), (-1, False)]:
            add(name, f"axis_{axis}{'_keep' if keep else ''}", [x], meaning(x, dim=axis, keepdim=keep), axis=axis, keep=keep)
        add(name, "ties", [ties], meaning(ties, dim=1), "the first wins", axis=1, keep=False)
        add(name, "nan", [nans], meaning(nans, dim=1), "the first NaN wins", axis=1, keep=False)


def softmaxes() -> None:
    for name, meaning in [("softmax", torch.softmax), ("log_softmax", torch.log_softmax)]:
        x = real(name, 2, 3, 4)
        for axis in (0, 1, -1):
            add(name, f"axis_{axis}", [x], meaning(x, axis), axis=axis)
        large = f64(1000, 999, -1000, 1000, 1000, 1000).reshape(2, 3)
        add(name, "large", [large], meaning(large, -1), axis=-1)
        masked = f64(1, -INF, 2, -INF, -INF, 0.5).reshape(2, 3)
        add(name, "masked", [masked], meaning(masked, -1), axis=-1)
        one = f64(3, -7).reshape(2, 1)
        add(name, "one", [one], meaning(one, -1), axis=-1)
    gone = f64(-INF, -INF, -INF, 1, 2, 1).reshape(2, 3)
    rows = torch.where(torch.tensor([[True], [False]]), torch.zeros_like(gone), torch.softmax(gone, -1))
    add("softmax", "a_row_masked_whole", [gone], rows, "zeros by our definition; PyTorch gives NaN", axis=-1)


def normalisations() -> None:
    x, weight, bias = real("ln", 2, 3, 4), real("ln_w", 4), real("ln_b", 4)
    for eps in (1e-5, 1e-6):
        add("layer_norm", f"last_eps_{eps}", [x, weight, bias], F.layer_norm(x, (4,), weight, bias, eps), axes=[-1], eps=eps)
    add("layer_norm", "last_two", [x], F.layer_norm(x, (3, 4)), axes=[1, 2], eps=1e-5)
    flat = torch.full((1, 4), 2.5, dtype=torch.float64)
    add("layer_norm", "constant_row", [flat, weight, bias], F.layer_norm(flat, (4,), weight, bias), axes=[-1], eps=1e-5)
    far = real("ln_far", 2, 4) + 4096
    add("layer_norm", "far_from_zero", [far, weight, bias], F.layer_norm(far, (4,), weight, bias), axes=[-1], eps=1e-5)
    add("rms_norm", "last", [x, weight], F.rms_norm(x, (4,), weight, 1e-6), axes=[-1], eps=1e-6)
    image, w6, b6 = real("gn", 2, 6, 2, 2), real("gn_w", 6), real("gn_b", 6)
    for groups in (1, 2, 6):
        add("group_norm", f"groups_{groups}", [image, w6, b6], F.group_norm(image, groups, w6, b6), groups=groups, eps=1e-5)
    mean, var = real("bn_m", 6), real("bn_v", 6, low=0.25, high=2)
    add("batch_norm", "eval", [image, mean, var, w6, b6], F.batch_norm(image, mean, var, w6, b6, eps=1e-5), eps=1e-5)


# ---- contractions and convolutions


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
    for a, b in [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((1, 1), (1, 1)), ((2, 0), (0, 3))]:
        x, y = real(f"matmul_x{a}", *a, parts=4), real(f"matmul_y{b}", *b, parts=4)
        add("matmul", f"{list(a)}_by_{list(b)}", [x, y], x @ y)
    x, w, b = real("linear_x", 2, 2, 3, parts=4), real("linear_w", 4, 3, parts=4), real("linear_b", 4, parts=4)
    add("linear", "bias", [x, w, b], F.linear(x, w, b))


Pairs = list[list[int]]

CONVS: list[tuple[str, tuple[int, ...], tuple[int, ...], list[int], Pairs, list[int], int]] = [
    # case, input, weight, stride, padding (low, high) per axis, dilation, groups
    ("1d", (2, 3, 6), (2, 3, 3), [1], [[0, 0]], [1], 1),
    ("1d_stride_padding", (1, 2, 7), (2, 2, 3), [2], [[1, 1]], [1], 1),
    ("1d_dilated", (1, 2, 8), (1, 2, 3), [1], [[2, 2]], [2], 1),
    ("1d_causal", (1, 2, 5), (2, 2, 3), [1], [[2, 0]], [1], 1),
    ("1d_depthwise", (1, 3, 5), (3, 1, 3), [1], [[1, 1]], [1], 3),
    ("2d", (1, 2, 4, 5), (3, 2, 3, 3), [1, 1], [[0, 0], [0, 0]], [1, 1], 1),
    ("2d_same", (1, 2, 4, 3), (2, 2, 3, 3), [1, 1], [[1, 1], [1, 1]], [1, 1], 1),
    ("2d_stride", (2, 1, 5, 6), (2, 1, 3, 3), [2, 2], [[1, 1], [1, 1]], [1, 1], 1),
    ("2d_stride_leaves_a_rest", (1, 1, 6, 6), (1, 1, 3, 3), [2, 2], [[0, 0], [0, 0]], [1, 1], 1),
    ("2d_stride_beyond_the_kernel", (1, 1, 7, 7), (2, 1, 2, 2), [3, 3], [[0, 0], [0, 0]], [1, 1], 1),
    ("2d_dilated", (1, 1, 6, 6), (2, 1, 3, 3), [1, 1], [[2, 2], [2, 2]], [2, 2], 1),
    ("2d_groups", (1, 4, 4, 3), (4, 2, 3, 3), [1, 1], [[1, 1], [1, 1]], [1, 1], 2),
    ("2d_depthwise_stride", (1, 3, 5, 5), (3, 1, 3, 3), [2, 2], [[1, 1], [1, 1]], [1, 1], 3),
    ("2d_depthwise_multiplier", (1, 2, 4, 4), (4, 1, 3, 3), [1, 1], [[1, 1], [1, 1]], [1, 1], 2),
    ("2d_pointwise", (2, 3, 2, 2), (2, 3, 1, 1), [1, 1], [[0, 0], [0, 0]], [1, 1], 1),
    ("2d_patches", (1, 3, 4, 4), (2, 3, 2, 2), [2, 2], [[0, 0], [0, 0]], [1, 1], 1),
    ("2d_uneven_kernel_stride_padding", (1, 2, 5, 7), (2, 2, 1, 5), [1, 2], [[0, 0], [2, 2]], [1, 1], 1),
    ("2d_one_sided_padding", (1, 1, 4, 4), (1, 1, 3, 3), [2, 2], [[0, 1], [1, 0]], [1, 1], 1),
    ("2d_negative_padding", (1, 1, 6, 6), (1, 1, 3, 3), [1, 1], [[-1, 0], [-1, -1]], [1, 1], 1),
    ("2d_all_padding", (1, 1, 1, 1), (1, 1, 3, 3), [1, 1], [[2, 2], [2, 2]], [1, 1], 1),
    ("3d", (1, 2, 3, 4, 3), (2, 2, 2, 3, 2), [1, 1, 1], [[0, 0]] * 3, [1, 1, 1], 1),
    ("3d_stride_padding_groups", (1, 2, 3, 4, 4), (2, 1, 3, 3, 3), [1, 2, 2], [[1, 1]] * 3, [1, 1, 1], 2),
]


def padded(x: Tensor, padding: Pairs, value: float = 0.0) -> Tensor:
    return F.pad(x, [n for low_high in reversed(padding) for n in low_high], value=value)


def convolutions() -> None:
    functions = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
    for case, x_shape, w_shape, stride, padding, dilation, groups in CONVS:
        x, w = real(f"conv_x{case}", *x_shape, parts=4), real(f"conv_w{case}", *w_shape, parts=4)
        y = functions[x.ndim](padded(x, padding), w, None, stride, 0, dilation, groups)
        add("conv", case, [x, w], y, stride=stride, padding=padding, dilation=dilation, groups=groups)
    x, w, b = real("conv_bx", 1, 2, 3, 3, parts=4), real("conv_bw", 2, 2, 2, 2, parts=4), real("conv_b", 2, parts=4)
    add("conv", "2d_bias", [x, w, b], F.conv2d(x, w, b), stride=[1, 1], padding=[[0, 0], [0, 0]], dilation=[1, 1], groups=1)


TRANSPOSED: list[tuple[str, tuple[int, ...], tuple[int, ...], int, int, int, int, int]] = [
    # case, input, weight [in, out / groups, …], stride, padding, output padding, dilation, groups
    ("plain", (1, 2, 3, 3), (2, 2, 2, 2), 1, 0, 0, 1, 1),
    ("doubling", (1, 2, 3, 2), (2, 1, 4, 4), 2, 1, 0, 1, 1),
    ("stride_beyond_the_kernel", (1, 1, 2, 3), (1, 1, 2, 2), 3, 0, 0, 1, 1),
    ("output_padding", (1, 1, 3, 3), (1, 2, 3, 3), 2, 1, 1, 1, 1),
    ("dilated", (1, 1, 3, 3), (1, 1, 2, 2), 1, 1, 0, 2, 1),
    ("groups", (1, 4, 2, 2), (4, 1, 3, 3), 2, 1, 0, 1, 2),
]


def transposed_convolutions() -> None:
    for case, x_shape, w_shape, stride, padding, extra, dilation, groups in TRANSPOSED:
        x, w = real(f"convt_x{case}", *x_shape, parts=4), real(f"convt_w{case}", *w_shape, parts=4)
        y = F.conv_transpose2d(x, w, None, stride, padding, extra, groups, dilation)
        add("conv_transpose", case, [x, w], y, stride=[stride] * 2, padding=[[padding] * 2] * 2,
            output_padding=[extra] * 2, dilation=[dilation] * 2, groups=groups)  # fmt: skip


POOLS: list[tuple[str, tuple[int, int], int, int, int, bool]] = [
    # case, height and width, kernel, stride, padding, ceil
    ("halving", (4, 4), 2, 2, 0, False),
    ("overlapping", (5, 5), 3, 1, 0, False),
    ("padded", (5, 4), 3, 2, 1, False),
    ("a_rest_is_dropped", (5, 5), 2, 2, 0, False),
    ("a_rest_is_kept", (5, 5), 2, 2, 0, True),
    ("ceil_padded", (6, 6), 3, 2, 1, True),
    ("ceil_drops_a_window_that_starts_in_the_padding", (3, 3), 2, 2, 1, True),
    ("one", (3, 3), 3, 3, 0, False),
]


def pools() -> None:
    for case, size, kernel, stride, padding, ceil in POOLS:
        x = real(f"pool{case}", 1, 2, *size) - 2  # below zero, so zero padding would show in a maximum
        attrs = dict(kernel=[kernel] * 2, stride=[stride] * 2, padding=[[padding] * 2] * 2, ceil=ceil)
        add("max_pool", case, [x], F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil), **attrs)
        for counted in (True, False) if padding else (True,):
            y = F.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=counted)
            add("avg_pool", f"{case}{'' if counted else '_not_counted'}", [x], y, **attrs, count_padding=counted)
    x = real("pool_dilated", 1, 1, 6, 6)
    add("max_pool", "dilated", [x], F.max_pool2d(x, 2, 1, 0, 2), kernel=[2, 2], stride=[1, 1], padding=[[0, 0]] * 2, dilation=[2, 2], ceil=False)
    x = f64(1, NAN, 2, -INF, -INF, -INF).reshape(1, 1, 1, 6)
    add("max_pool", "edges", [x], F.max_pool2d(x, (1, 2)), "NaN wins", kernel=[1, 2], stride=[1, 2], padding=[[0, 0]] * 2, ceil=False)


# ---- moving elements


def movement() -> None:
    a, b, c = real("cat_a", 2, 3), real("cat_b", 1, 3), real("cat_c", 2, 2)
    add("concat", "axis_0", [a, b], torch.cat([a, b], 0), axis=0)
    add("concat", "axis_-1", [a, c, a], torch.cat([a, c, a], -1), axis=-1)
    add("concat", "empty", [a, a[:0]], torch.cat([a, a[:0]], 0), axis=0)
    add("stack", "axis_1", [a, a + 1], torch.stack([a, a + 1], 1), axis=1)
    for case, padding, value in [("constant", [[1, 0], [2, 1]], 1.5), ("negative", [[0, -1], [-1, 1]], 0.0), ("-inf", [[0, 0], [1, 1]], -INF)]:
        add("pad", case, [a], padded(a, padding, value), padding=padding, value=value)
    x = real("slice", 4, 6, parts=1)
    for case, index, attrs in [
        ("middle", (slice(1, 3),), dict(axes=[0], start=[1], stop=[3], step=[1])),
        ("step", (slice(None), slice(1, 6, 2)), dict(axes=[1], start=[1], stop=[6], step=[2])),
        ("step_short_of_the_end", (slice(0, 4, 3), slice(0, 5, 2)), dict(axes=[0, 1], start=[0, 0], stop=[4, 5], step=[3, 2])),
        ("from_the_end", (slice(None), slice(-3, -1)), dict(axes=[1], start=[-3], stop=[-1], step=[1])),
        ("empty", (slice(2, 2),), dict(axes=[0], start=[2], stop=[2], step=[1])),
    ]:
        add("slice", case, [x], x[index], **attrs)
    y = real("permute", 2, 3, 4, parts=1)
    for axes in ([2, 0, 1], [0, 2, 1], [2, 1, 0]):
        add("permute", str(axes), [y], y.permute(axes), axes=axes)
    for axes in ([0], [1, 2]):
        add("flip", str(axes), [y], y.flip(axes), axes=axes)
    add("reshape", "[4, 6]", [y], y.reshape(4, 6), shape=[4, 6])
    add("expand", "[2, 3, 3]", [b], b.expand(2, 3, 3), shape=[2, 3, 3])
    for counts in ([2, 3], [1, 2]):
        add("tile", str(counts), [a], a.repeat(*counts), counts=counts)
    for axis, shift in [(0, 1), (1, -1)]:
        add("roll", f"axis_{axis}_by_{shift}", [a], a.roll(shift, axis), axis=axis, shift=shift)


def patterns() -> None:
    x = real("rearrange", 2, 3, 4, parts=1)
    add("rearrange", "b i j -> b (i j)", [x], x.reshape(2, 12), pattern="b i j -> b (i j)")
    add("rearrange", "b i j -> j (b i)", [x], x.permute(2, 0, 1).reshape(4, 6), pattern="b i j -> j (b i)")
    add("rearrange", "b i (h d) -> b h i d", [x], x.reshape(2, 3, 2, 2).permute(0, 2, 1, 3), pattern="b i (h d) -> b h i d", sizes={"h": 2})
    qkv = real("qkv", 1, 2, 12, parts=1)
    add("rearrange", "b n (s h d) -> s b h n d", [qkv], qkv.reshape(1, 2, 3, 2, 2).permute(2, 0, 3, 1, 4),
        pattern="b n (s h d) -> s b h n d", sizes={"s": 3, "h": 2})  # fmt: skip
    image = real("patches", 1, 2, 4, 4, parts=1)
    add("rearrange", "b c (h p) (w q) -> b (h w) (p q c)", [image], image.reshape(1, 2, 2, 2, 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(1, 4, 8),
        pattern="b c (h p) (w q) -> b (h w) (p q c)", sizes={"p": 2, "q": 2})  # fmt: skip
    blocks = image.reshape(1, 2, 2, 2, 2, 2)
    for by, y in [("max", blocks.amax((3, 5))), ("mean", blocks.mean((3, 5))), ("sum", blocks.sum((3, 5)))]:
        add("reduce", f"{by} of b c (h p) (w q) -> b c h w", [image], y, pattern="b c (h p) (w q) -> b c h w", by=by, sizes={"p": 2, "q": 2})
    add("reduce", "mean of b c h w -> b c", [image], image.mean((2, 3)), pattern="b c h w -> b c", by="mean")
    row = real("repeat", 2, 3, parts=1)
    add("repeat", "i j -> i r j", [row], row[:, None].expand(2, 2, 3), pattern="i j -> i r j", sizes={"r": 2})
    add("repeat", "i j -> (i r) j", [row], row.repeat_interleave(2, 0), pattern="i j -> (i r) j", sizes={"r": 2})
    add("repeat", "i j -> (r i) j", [row], row.repeat(2, 1), pattern="i j -> (r i) j", sizes={"r": 2})


def indexing() -> None:
    x = real("gather", 3, 4, parts=1)
    for axis, shape in [(0, (2, 4)), (1, (3, 2))]:
        index = ints(f"gather_i{axis}", *shape, below=x.shape[axis])
        add("gather", f"axis_{axis}", [x, index], x.gather(axis, index), axis=axis)
    for axis in (0, 1):
        index = torch.tensor([2, 0, 2])
        add("index_select", f"axis_{axis}", [x, index], x.index_select(axis, index), axis=axis)
    token = torch.tensor([[1, 0, 2], [2, 2, 1]])
    add("embedding", "two_rows_of_tokens", [x, token], F.embedding(token, x))
    add("embedding", "i32", [x, token.to(torch.int32)], F.embedding(token.to(torch.int32), x))
    zero, source = torch.zeros(3, 4, dtype=torch.float64), real("scatter", 2, 4, parts=1)
    apart = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]])
    add("scatter", "axis_0", [x, apart, source], x.scatter(0, apart, source), "no index occurs twice in a column", axis=0)
    twice = torch.tensor([[0, 1, 1, 0], [0, 1, 2, 2]])
    add("scatter_add", "axis_0_with_repeats", [zero, twice, source], zero.scatter_add(0, twice, source), axis=0)
    add("scatter_add", "axis_1", [x, ints("sa1", 3, 2, below=4), source.reshape(4, 2)[:3]],
        x.scatter_add(1, ints("sa1", 3, 2, below=4), source.reshape(4, 2)[:3]), axis=1)  # fmt: skip
    rows, columns, values = torch.tensor([0, 2, 1]), torch.tensor([1, 3, 1]), f64(10, 20, 30)
    add("index_put", "replace", [x, rows, columns, values], x.clone().index_put_((rows, columns), values), accumulate=False)
    rows, columns = torch.tensor([0, 0, 2]), torch.tensor([1, 1, 3])
    add("index_put", "accumulate", [x, rows, columns, values], x.clone().index_put_((rows, columns), values, True), accumulate=True)
    update = real("update", 3, 2, parts=1)
    for at in (0, 1, 2):
        y = x.clone()
        y[:, at : at + 2] = update
        add("update", f"axis_1_at_{at}", [x, update, torch.tensor(at)], y, axis=1)


def scans_and_orders() -> None:
    x = real("cumsum", 2, 4, parts=4)
    for axis in (0, 1):
        add("cumsum", f"axis_{axis}", [x], x.cumsum(axis), axis=axis)
        add("cumprod", f"axis_{axis}", [x], x.cumprod(axis), axis=axis)
    add("cumsum", "i64", [ints("cumsum_i", 5, below=9)], ints("cumsum_i", 5, below=9).cumsum(0), axis=0)
    x = real("cummax", 6)
    add("cummax", "values", [x], x.cummax(0).values, axis=0)
    x = real("sort", 3, 5, parts=1024)
    ties = f64(2, 1, 2, 1, 0, 2)
    edges = f64(1, INF, NAN, -INF, 0)
    for descending in (False, True):
        end = "down" if descending else "up"
        for axis in (0, 1):
            y = x.sort(dim=axis, descending=descending, stable=True)
            add("sort", f"axis_{axis}_{end}", [x], (y.values, y.indices), axis=axis, descending=descending)
        for case, z, note in [("ties", ties, "stable"), ("edges", edges, "NaN counts as the greatest")]:
            y = z.sort(descending=descending, stable=True)
            add("sort", f"{case}_{end}", [z], (y.values, y.indices), note, axis=0, descending=descending)
        add("argsort", f"ties_{end}", [ties], ties.argsort(descending=descending, stable=True), "stable", axis=0, descending=descending)
    for k, largest in [(1, True), (3, True), (2, False), (5, True)]:
        y = x.topk(k, 1, largest=largest, sorted=True)
        add("topk", f"{k}_{'largest' if largest else 'smallest'}", [x], (y.values, y.indices), "in order", axis=1, k=k, largest=largest)


GROUPS = [
    unary, binary, integers, choices, casts, reductions, softmaxes, normalisations, contractions, convolutions,
    transposed_convolutions, pools, movement, patterns, indexing, scans_and_orders,
]  # fmt: skip


def main() -> None:
    for group in GROUPS:
        group()
    keys = [(row["op"], row["case"]) for row in CASES]
    assert len(set(keys)) == len(keys), f"a case occurs twice: {next(k for k in keys if keys.count(k) > 1)}"
    lines = (json.dumps(row, separators=(",", ":"), allow_nan=False) for row in CASES)
    path = Path(__file__).with_name("ops.json")
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(CASES)} cases of {len(set(row['op'] for row in CASES))} ops, {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
