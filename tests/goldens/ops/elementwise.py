"""One value in, one value out: unary and binary ops, integers, choices."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ops.case import add, f64, INF, ints, NAMES, NAN, real, Tensor


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
    ("exp2", torch.exp2, -4, 4, ANY),
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
    ("fract", lambda x: torch.where(x.isinf(), torch.zeros_like(x), x - torch.floor(x)), -3, 3, HALVES),
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
            x, y = (
                real(f"{name}x{a}", *a, parts=parts),
                real(f"{name}y{b}", *b, parts=parts) + (0.0625 if name == "div" else 0),
            )
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
    base, exponent = real("scalb_base", 6), real("scalb_exponent", 6, low=-4, high=4)
    add("scalb", "random", [base, exponent], torch.ldexp(base, torch.floor(exponent)))
    base, exponent = f64(3, -3, 0, NAN, 1, INF, 0, 1, -1, INF), f64(0.9, -0.9, 2, 1, NAN, -3, INF, -INF, INF, -INF)
    add("scalb", "edges", [base, exponent], torch.ldexp(base, torch.floor(exponent)))
    x, y = f64(7, -7, 7, -7, 5.5, -5.5, 6, -6), f64(3, 3, -3, -3, 2, 2, 3, 3)
    add("floor_mod", "float", [x, y], torch.remainder(x, y), note="the sign of the divisor")
    add("trunc_mod", "float", [x, y], torch.fmod(x, y), note="the sign of the dividend")
    add("floor_div", "float", [x, y], torch.floor(x / y))
    x, y = f64(-1, 1, -1, 1, 0, INF, 1, -1, 0, NAN, -1e-300), f64(INF, INF, -INF, -INF, INF, 2, 0, 0, 0, 1, 1e300)
    add("floor_div", "edges", [x, y], torch.floor_divide(x, y), note="of the exact quotient")


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
    x, y = real("select_x", 2, 3), real("select_y", 2, 3)
    add("select", "same", [mask, x, y], torch.where(mask, x, y))
    add("select", "broadcast", [mask, x[0], y[:1, :1]], torch.where(mask, x[0], y[:1, :1]))
    blocked = torch.full_like(x, -INF)
    add("select", "the_other_side_is_not_touched", [mask, x, blocked], torch.where(mask, x, blocked))
    add("select", "i64", [mask, ints("wi", 2, 3, below=9), ints("wj", 2, 3, below=9)],
        torch.where(mask, ints("wi", 2, 3, below=9), ints("wj", 2, 3, below=9)))  # fmt: skip


GROUPS = [unary, binary, integers, choices]
