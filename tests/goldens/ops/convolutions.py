"""Convolutions, transposed ones, and pools."""

from __future__ import annotations


from torch.nn import functional as F

from ops.case import add, f64, INF, NAN, padded, Pairs, real


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


def convolutions() -> None:
    functions = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
    for case, x_shape, w_shape, stride, padding, dilation, groups in CONVS:
        x, w = real(f"conv_x{case}", *x_shape, parts=4), real(f"conv_w{case}", *w_shape, parts=4)
        y = functions[x.ndim](padded(x, padding), w, None, stride, 0, dilation, groups)
        add("conv", case, [x, w], y, stride=stride, padding=padding, dilation=dilation, groups=groups)
    x, w, b = real("conv_bx", 1, 2, 3, 3, parts=4), real("conv_bw", 2, 2, 2, 2, parts=4), real("conv_b", 2, parts=4)
    add(
        "conv",
        "2d_bias",
        [x, w, b],
        F.conv2d(x, w, b),
        stride=[1, 1],
        padding=[[0, 0], [0, 0]],
        dilation=[1, 1],
        groups=1,
    )


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
    add(
        "max_pool",
        "dilated",
        [x],
        F.max_pool2d(x, 2, 1, 0, 2),
        kernel=[2, 2],
        stride=[1, 1],
        padding=[[0, 0]] * 2,
        dilation=[2, 2],
        ceil=False,
    )
    x = f64(1, NAN, 2, -INF, -INF, -INF).reshape(1, 1, 1, 6)
    add(
        "max_pool",
        "edges",
        [x],
        F.max_pool2d(x, (1, 2)),
        "NaN wins",
        kernel=[1, 2],
        stride=[1, 2],
        padding=[[0, 0]] * 2,
        ceil=False,
    )


GROUPS = [convolutions, transposed_convolutions, pools]
