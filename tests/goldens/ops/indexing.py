"""Gathers, scatters, scans and orders."""

from __future__ import annotations


import torch
from torch.nn import functional as F

from ops.case import add, f64, INF, ints, NAN, real


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
    add(
        "scatter",
        "axis_0",
        [x, apart, source],
        x.scatter(0, apart, source),
        "no index occurs twice in a column",
        axis=0,
    )
    twice = torch.tensor([[0, 1, 1, 0], [0, 1, 2, 2]])
    add("scatter_add", "axis_0_with_repeats", [zero, twice, source], zero.scatter_add(0, twice, source), axis=0)
    for name, how in [("scatter_max", "amax"), ("scatter_min", "amin"), ("scatter_mul", "prod")]:
        add(name, "axis_0_with_repeats", [x, twice, source], x.scatter_reduce(0, twice, source, how), axis=0)
    add("scatter_add", "axis_1", [x, ints("sa1", 3, 2, below=4), source.reshape(4, 2)[:3]],
        x.scatter_add(1, ints("sa1", 3, 2, below=4), source.reshape(4, 2)[:3]), axis=1)  # fmt: skip
    rows, columns, values = torch.tensor([0, 2, 1]), torch.tensor([1, 3, 1]), f64(10, 20, 30)
    add(
        "index_put",
        "replace",
        [x, rows, columns, values],
        x.clone().index_put_((rows, columns), values),
        accumulate=False,
    )
    rows, columns = torch.tensor([0, 0, 2]), torch.tensor([1, 1, 3])
    add(
        "index_put",
        "accumulate",
        [x, rows, columns, values],
        x.clone().index_put_((rows, columns), values, True),
        accumulate=True,
    )
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
        add(
            "argsort",
            f"ties_{end}",
            [ties],
            ties.argsort(descending=descending, stable=True),
            "stable",
            axis=0,
            descending=descending,
        )
    for k, largest in [(1, True), (3, True), (2, False), (5, True)]:
        y = x.topk(k, 1, largest=largest, sorted=True)
        add(
            "topk",
            f"{k}_{'largest' if largest else 'smallest'}",
            [x],
            (y.values, y.indices),
            "in order",
            axis=1,
            k=k,
            largest=largest,
        )


GROUPS = [indexing, scans_and_orders]
