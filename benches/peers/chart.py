"""The results as a picture: a bar per row and number of threads, from the ratio 1 to what was measured."""

from __future__ import annotations

import math
from html import escape
from typing import Any

Record = dict[str, Any]

LEFT, WIDTH, RIGHT, HEIGHT = 270, 520, 360, 17
COLOURS = {1: "#3b6fb6", 2: "#8fb8e8"}
BEHIND = {1: "#b6553b", 2: "#e8a98f"}
TICKS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8]


def chart(results: list[Record], machine: Record) -> str:
    rows = [result for result in results if "ratio" in result]
    values = [value for row in rows for value in row["ratio"]]
    low, high = min([0.7, *values]) * 0.95, max([1.5, *values]) * 1.05

    def x(value: float) -> float:
        """Ratios stand on a logarithmic axis: twice as fast and half as fast are equally far from 1."""
        return LEFT + WIDTH * math.log(value / low) / math.log(high / low)

    parts, y, title = [], 70.0, ""
    for row in rows:
        if row["title"] != title:
            y, title = y + 8, row["title"]
            parts.append(text(LEFT - 8, y + 13, title, "end"))
        parts += bar(row, y, x)
        y += HEIGHT
    axis = [tick(value, x(value), y + 10) for value in TICKS if low <= value <= high]
    return page(axis + parts, y + 40, machine)


def bar(row: Record, y: float, x: Any) -> list[str]:
    value, low, high = row["ratio"]
    colour = (COLOURS if value >= 1 else BEHIND).get(row["threads"], "#777")
    left, right = sorted((x(1), x(value)))
    middle = y + HEIGHT / 2 - 1
    engines = row["engines"]
    ours, theirs = (1e3 * engines[name]["seconds"] for name in ("tw", row["best"]))
    says = f"{value:.2f}×  {ours:.3g} ms, {row['best']} {theirs:.3g} ms, {100 * row['share']:.0f} % of limit"
    return [
        f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="{HEIGHT - 3}" fill="{colour}"/>',
        f'<path d="M{x(low):.1f} {middle}H{x(high):.1f}" stroke="#222"/>',
        text(LEFT + WIDTH + 8, y + 12, f"{row['precision']}, {row['threads']}: {says}", "start", 10),
    ]


def tick(value: float, x: float, bottom: float) -> str:
    colour = "#222" if value == 1 else "#ddd"
    return f'<path d="M{x:.1f} 66V{bottom}" stroke="{colour}"/>' + text(x, bottom + 14, f"{value:g}", "middle")


def text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def page(parts: list[str], height: float, machine: Record) -> str:
    width = LEFT + WIDTH + RIGHT
    about = f"{machine['cpu']}, {machine['date'][:10]}; batch 1; dark: 1 thread, light: 2; the line is the 95 % interval"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" font-family="sans-serif">\n'
        f'<rect width="{width}" height="{height:.0f}" fill="white"/>\n'
        + text(20, 28, "Time of the best other engine over ours (to the right of 1 we are faster)", "start", 16)
        + text(20, 48, about, "start")
        + "\n".join(["", *parts, "</svg>\n"])
    )
