"""Writes `ops.json`: what each op means, as small cases computed by PyTorch in f64.

README.md gives the format, and says where we chose a meaning that PyTorch leaves open or gives otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path

from ops import casts, contractions, convolutions, elementwise, indexing, movement, reductions
from ops.case import CASES

MODULES = [elementwise, casts, reductions, contractions, convolutions, movement, indexing]


def main() -> None:
    for module in MODULES:
        for group in module.GROUPS:
            group()
    keys = [(row["op"], row["case"]) for row in CASES]
    assert len(set(keys)) == len(keys), f"a case occurs twice: {next(k for k in keys if keys.count(k) > 1)}"
    lines = (json.dumps(row, separators=(",", ":"), allow_nan=False) for row in CASES)
    path = Path(__file__).with_name("ops.json")
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(CASES)} cases of {len(set(row['op'] for row in CASES))} ops, {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
