"""Ops that only move elements."""

from __future__ import annotations


import torch

from ops.case import add, INF, padded, real


def movement() -> None:
    a, b, c = real("cat_a", 2, 3), real("cat_b", 1, 3), real("cat_c", 2, 2)
    add("concat", "axis_0", [a, b], torch.cat([a, b], 0), axis=0)
    add("concat", "axis_-1", [a, c, a], torch.cat([a, c, a], -1), axis=-1)
    add("concat", "empty", [a, a[:0]], torch.cat([a, a[:0]], 0), axis=0)
    add("stack", "axis_1", [a, a + 1], torch.stack([a, a + 1], 1), axis=1)
    for case, padding, value in [
        ("constant", [[1, 0], [2, 1]], 1.5),
        ("negative", [[0, -1], [-1, 1]], 0.0),
        ("-inf", [[0, 0], [1, 1]], -INF),
    ]:
        add("pad", case, [a], padded(a, padding, value), padding=padding, value=value)
    x = real("slice", 4, 6, parts=1)
    for case, index, attrs in [
        ("middle", (slice(1, 3),), dict(axes=[0], start=[1], stop=[3], step=[1])),
        ("step", (slice(None), slice(1, 6, 2)), dict(axes=[1], start=[1], stop=[6], step=[2])),
        (
            "step_short_of_the_end",
            (slice(0, 4, 3), slice(0, 5, 2)),
            dict(axes=[0, 1], start=[0, 0], stop=[4, 5], step=[3, 2]),
        ),
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
    add(
        "rearrange",
        "b i (h d) -> b h i d",
        [x],
        x.reshape(2, 3, 2, 2).permute(0, 2, 1, 3),
        pattern="b i (h d) -> b h i d",
        sizes={"h": 2},
    )
    qkv = real("qkv", 1, 2, 12, parts=1)
    add("rearrange", "b n (s h d) -> s b h n d", [qkv], qkv.reshape(1, 2, 3, 2, 2).permute(2, 0, 3, 1, 4),
        pattern="b n (s h d) -> s b h n d", sizes={"s": 3, "h": 2})  # fmt: skip
    image = real("patches", 1, 2, 4, 4, parts=1)
    blocks = image.reshape(1, 2, 2, 2, 2, 2)
    pattern = "b c (h p) (w q) -> b (h w) (p q c)"
    add(
        "rearrange",
        pattern,
        [image],
        blocks.permute(0, 2, 4, 3, 5, 1).reshape(1, 4, 8),
        pattern=pattern,
        sizes={"p": 2, "q": 2},
    )
    for by, y in [("max", blocks.amax((3, 5))), ("mean", blocks.mean((3, 5))), ("sum", blocks.sum((3, 5)))]:
        add(
            "reduce",
            f"{by} of b c (h p) (w q) -> b c h w",
            [image],
            y,
            pattern="b c (h p) (w q) -> b c h w",
            by=by,
            sizes={"p": 2, "q": 2},
        )
    add("reduce", "mean of b c h w -> b c", [image], image.mean((2, 3)), pattern="b c h w -> b c", by="mean")
    row = real("repeat", 2, 3, parts=1)
    add("repeat", "i j -> i r j", [row], row[:, None].expand(2, 2, 3), pattern="i j -> i r j", sizes={"r": 2})
    add("repeat", "i j -> (i r) j", [row], row.repeat_interleave(2, 0), pattern="i j -> (i r) j", sizes={"r": 2})
    add("repeat", "i j -> (r i) j", [row], row.repeat(2, 1), pattern="i j -> (r i) j", sizes={"r": 2})


GROUPS = [movement, patterns]
