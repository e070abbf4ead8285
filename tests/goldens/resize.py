"""Golden values of `resize`, written to `resize.json`: `python3 tests/goldens/resize.py`.

No library computes them. Each new element is the sum, over all elements of the image at once, of products of weights that
are written out from the definitions which PyTorch documents for `interpolate`: the source position of place o is
(o + 1/2) * ratio - 1/2 (not below zero for lines), or o * (old - 1) / (new - 1) with aligned corners; a cubic curve has
a = -3/4 and repeats the edge. Positions are exact fractions; the ratio is old / new where the size is given, and one through
the factor where that is.
"""

import json
from fractions import Fraction
from itertools import product
from math import floor, prod
from pathlib import Path

BEND = Fraction(-3, 4)


def cubic(x):
    x = abs(x)
    if x <= 1:
        return (BEND + 2) * x**3 - (BEND + 3) * x**2 + 1
    if x < 2:
        return BEND * x**3 - 5 * BEND * x**2 + 8 * BEND * x - 4 * BEND
    return Fraction(0)


def weights(old, new, ratio, mode, corners, place):
    """How much each element of an axis counts for one place of the result."""
    row = [Fraction(0)] * old
    if old == new:
        row[place] = Fraction(1)
        return row
    if mode == "nearest":
        row[min(floor(place * ratio), old - 1)] = Fraction(1)
        return row
    if corners:
        at = place * Fraction(old - 1, max(new - 1, 1))
    else:
        at = (place + Fraction(1, 2)) * ratio - Fraction(1, 2)
    if mode == "bilinear" and not corners:
        at = max(at, Fraction(0))
    kernel = cubic if mode == "bicubic" else (lambda x: max(1 - abs(x), Fraction(0)))
    for tap in range(floor(at) - 1, floor(at) + 3):
        row[min(max(tap, 0), old - 1)] += kernel(at - tap)
    return row


def resized(data, shape, sizes, ratios, mode, corners):
    rows = [
        [weights(old, new, ratio, mode, corners, place) for place in range(new)]
        for old, new, ratio in zip(shape, sizes, ratios)
    ]
    result = []
    for place in product(*map(range, sizes)):
        total = Fraction(0)
        for idx, element in enumerate(product(*map(range, shape))):
            share = prod((row[at][of] for row, at, of in zip(rows, place, element)), start=Fraction(1))
            total += share * data[idx]
        result.append(float(total))
    return result


def case(shape, mode, corners=False, scale=None, per=None, size=None):
    n_elements = prod(shape)
    data = [Fraction((idx * 37) % 23 - 11, 4) for idx in range(n_elements)]
    if scale:
        below = per or [1] * len(scale)
        factors = [Fraction(a, b) for a, b in zip(scale, below)]
        sizes = [floor(old * factor) for old, factor in zip(shape, factors)]
        ratios = [1 / factor for factor in factors]
    else:
        sizes, ratios = size, [Fraction(old, new) for old, new in zip(shape, size)]
    out = resized(data, shape, sizes, ratios, mode, corners)
    attrs = {"mode": mode, "align_corners": corners, "scale": scale, "per": per, "size": size}
    return {"shape": shape, "data": [float(x) for x in data], "attrs": attrs, "result_shape": sizes, "result": out}


def cases():
    for mode, corners in product(["nearest", "bilinear", "bicubic"], [False, True]):
        if mode == "nearest" and corners:
            continue
        yield case([5], mode, corners, scale=[2])
        yield case([5], mode, corners, scale=[5], per=[2])
        yield case([7], mode, corners, scale=[13], per=[10])
        yield case([7], mode, corners, scale=[1], per=[3])
        yield case([7], mode, corners, size=[3])
        yield case([3], mode, corners, size=[7])
        yield case([4], mode, corners, size=[1])
        yield case([1], mode, corners, size=[3])
        yield case([3, 4], mode, corners, size=[5, 2])
        yield case([4, 3], mode, corners, scale=[3, 1], per=[2, 1])


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case) for case in cases())
    Path(__file__).with_name("resize.json").write_text(f"[\n{lines}\n]\n")
