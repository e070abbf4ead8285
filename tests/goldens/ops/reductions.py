"""Reductions, softmaxes and normalisations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ops.case import add, f64, INF, ints, NAN, real, Tensor


def reductions() -> None:
    table: list[tuple[str, Callable[..., Tensor]]] = [
        ("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax), ("min", torch.amin),
        ("logsumexp", torch.logsumexp),
    ]  # fmt: skip
    for name, meaning in table:
        x = real(f"reduce_{name}", 2, 3, 4)
        for axes, keep in [
            ([0], False),
            ([1], True),
            ([2], False),
            ([0, 2], False),
            ([0, 1, 2], False),
            ([-1, 0], True),
        ]:
            add(
                name,
                f"axes_{axes}{'_keep' if keep else ''}",
                [x],
                meaning(x, dim=axes, keepdim=keep),
                axes=axes,
                keep=keep,
            )
    x = real("prod", 2, 3, low=-2, high=2, parts=4)
    for axis, keep in [(0, False), (1, True)]:
        add("prod", f"axes_[{axis}]{'_keep' if keep else ''}", [x], x.prod(axis, keepdim=keep), axes=[axis], keep=keep)
    x = real("var", 2, 5)
    for correction in (0, 1):
        add(
            "var",
            f"correction_{correction}",
            [x],
            x.var(1, correction=correction),
            axes=[1],
            keep=False,
            correction=correction,
        )
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


def positions() -> None:
    x = real("arg", 3, 4, parts=1024)
    ties = f64(1, 3, 3, 0, 0, 2, 2, 1).reshape(2, 4)
    nans = f64(1, NAN, 3, NAN).reshape(1, 4)
    for name, meaning in [("argmax", torch.argmax), ("argmin", torch.argmin)]:
        for axis, keep in [(0, False), (1, True), (-1, False)]:
            add(
                name,
                f"axis_{axis}{'_keep' if keep else ''}",
                [x],
                meaning(x, dim=axis, keepdim=keep),
                axis=axis,
                keep=keep,
            )
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
    beyond = f64(INF, 1, 2, -INF, INF, -INF).reshape(2, 3)
    for name, meaning in [("softmax", torch.softmax), ("log_softmax", torch.log_softmax)]:
        add(name, "infinite", [beyond], meaning(beyond, -1), axis=-1)
    add("softmax", "a_row_masked_whole", [gone], rows, "zeros by our definition; PyTorch gives NaN", axis=-1)


def normalisations() -> None:
    x, weight, bias = real("ln", 2, 3, 4), real("ln_w", 4), real("ln_b", 4)
    for eps in (1e-5, 1e-6):
        add(
            "layer_norm",
            f"last_eps_{eps}",
            [x, weight, bias],
            F.layer_norm(x, (4,), weight, bias, eps),
            axes=[-1],
            eps=eps,
        )
    add("layer_norm", "last_two", [x], F.layer_norm(x, (3, 4)), axes=[1, 2], eps=1e-5)
    flat = torch.full((1, 4), 2.5, dtype=torch.float64)
    add("layer_norm", "constant_row", [flat, weight, bias], F.layer_norm(flat, (4,), weight, bias), axes=[-1], eps=1e-5)
    far = real("ln_far", 2, 4) + 4096
    add("layer_norm", "far_from_zero", [far, weight, bias], F.layer_norm(far, (4,), weight, bias), axes=[-1], eps=1e-5)
    add("rms_norm", "last", [x, weight], F.rms_norm(x, (4,), weight, 1e-6), axes=[-1], eps=1e-6)
    image, w6, b6 = real("gn", 2, 6, 2, 2), real("gn_w", 6), real("gn_b", 6)
    for groups in (1, 2, 6):
        add(
            "group_norm",
            f"groups_{groups}",
            [image, w6, b6],
            F.group_norm(image, groups, w6, b6),
            groups=groups,
            eps=1e-5,
        )
    mean, var = real("bn_m", 6), real("bn_v", 6, low=0.25, high=2)
    add("batch_norm", "eval", [image, mean, var, w6, b6], F.batch_norm(image, mean, var, w6, b6, eps=1e-5), eps=1e-5)


GROUPS = [reductions, positions, softmaxes, normalisations]
