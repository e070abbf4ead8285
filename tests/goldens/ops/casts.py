"""What each conversion keeps: rounding, saturation, wrapping."""

from __future__ import annotations

import math

import torch

from ops.case import add, f64, INF, NAMES, NAN, Tensor


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Toward zero, clamped to the type's range, NaN to zero."""
    info = torch.iinfo(dtype)
    return torch.nan_to_num(x, nan=0.0, posinf=INF, neginf=-INF).trunc().clamp(info.min, info.max).to(dtype)


def casts() -> None:
    def cast(case: str, x: Tensor, y: Tensor, note: str = "") -> None:
        add("cast", case, [x], y, note, to=NAMES[y.dtype])

    halves = torch.tensor(
        [1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, 65504.0, 65519.0, 65520.0, -1e6, 2**-24, 2**-25,
         3 * 2**-26, 0.1, -0.0, INF, -INF, NAN], dtype=torch.float32)  # fmt: skip
    cast("f32_to_f16", halves, halves.to(torch.float16), "ties to even, subnormals kept, overflow to infinity")
    brains = torch.tensor(
        [1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.3895314e38, 3.4e38, 0.1, -0.1, 2**-133, -0.0,
         INF, -INF, NAN],
        dtype=torch.float32)  # fmt: skip
    cast("f32_to_bf16", brains, brains.to(torch.bfloat16), "ties to even")
    doubles = f64(0.1, 1 + 2**-24, 1 + 3 * 2**-24, 1e39, 1e-46, -0.0, NAN)
    cast("f64_to_f32", doubles, doubles.to(torch.float32))
    for source, target in [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.bfloat16),
    ]:
        x = torch.tensor([0.1, -2.5, 65504.0, 2**-24, INF, NAN], dtype=torch.float32).to(source)
        cast(f"{NAMES[source]}_to_{NAMES[target]}", x, x.to(target))
    wide = torch.tensor(
        [0.0, 0.9, -0.9, 1.5, -1.5, 2.5, 126.9, 127.9, 128.0, -128.9, 255.9, 256.0, 1e10, -1e10, INF, -INF, NAN],
        dtype=torch.float32,
    )
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


GROUPS = [casts]
