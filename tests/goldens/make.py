"""Writes the golden outputs: one small `.npz` per golden, and `index.json`, which says what each holds.

The references run in f64 and the outputs are stored as f32; an f32 run must agree with them. Parameter
counts are checked against the published ones.

    python make.py                        every golden
    python make.py resnet18 lstm          only these; the other rows of the index stay as they are
    python make.py --sensitivity NAME …   also measures how much each weight tensor matters
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

import maps
import models
import weights
from maps import Member
from table import ROOT, Golden, Stored, goldens

HERE = Path(__file__).resolve().parent


def outputs(golden: Golden, model: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The stored arrays, still in `dtype`."""
    inputs = [{i.name: cast(i.value(), dtype) for i in call.inputs} for call in golden.calls]
    with torch.no_grad():
        results = golden.run(model, inputs)
    return {
        stored.array: stored.cut(result[stored.output]).clone()
        for call, result in zip(golden.calls, results, strict=True)
        for stored in call.stored
    }


def cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """max|a − b| / max|b|, the worst of the arrays."""
    return max(float((a[k].double() - b[k].double()).abs().max() / b[k].double().abs().max()) for k in b)


def loaded(golden: Golden) -> tuple[nn.Module, list[Member]]:
    model = golden.build()
    parameters = models.count(model)
    assert golden.published in (None, parameters), f"{golden.name}: {parameters:,} parameters"
    members = maps.members(ROOT / golden.spec, golden.map, list(models.tensors(model)))
    if golden.trained is None:
        return models.generated(model, members, golden.gain), members
    file = load_file(ROOT / golden.trained)
    models.load(model, members, lambda name, shape: file[name].reshape(shape))
    return model.eval(), members


def weakest(golden: Golden, model: nn.Module, members: list[Member]) -> dict[str, Any]:
    """Each tensor in turn takes the values of another key; the tensor whose change shows least."""
    named = models.tensors(model)
    base = outputs(golden, model, torch.float32)
    rows = []
    for member in members:
        shape = models.our_shape(member, named)
        kept = [named[name].detach().clone() for name in member.theirs]
        models.fill(member, named, weights.weight(member.ours, shape, f"perturbed:{member.ours}", golden.gain))
        rows.append((difference(outputs(golden, model, torch.float32), base), member.ours))
        with torch.no_grad():
            for name, values in zip(member.theirs, kept, strict=True):
                named[name].copy_(values)
    rows.sort()
    for change, name in rows[:4]:
        print(f"    {change:.1e}  {name}")
    return {"member": rows[0][1], "change": float(f"{rows[0][0]:.1e}")}


def row(
    golden: Golden, model: nn.Module, n_members: int, f32_error: float, least: dict[str, Any] | None
) -> dict[str, Any]:
    def slices(stored: Stored) -> list[dict[str, int]]:
        return [dict(axis=s.axis, start=s.start, stop=s.stop, step=s.step) for s in stored.slices]

    result = {
        "name": golden.name,
        "spec": golden.spec,
        "model": golden.model,
        "preset": golden.preset,
        "config": golden.config,
        "weights": golden.trained or "generated",
        **({"gain": golden.gain} if golden.gain != 1 else {}),
        "params": models.count(model),
        "published": golden.published is not None,
        "tensors": n_members,
        "calls": [
            {
                "entry": call.entry,
                "inputs": [dict(name=i.name, dtype=i.dtype, shape=list(i.shape), **i.source) for i in call.inputs],
                "stored": [dict(array=s.array, output=s.output, slices=slices(s)) for s in call.stored],
            }
            for call in golden.calls
        ],
        "f32_error": float(f"{f32_error:.1e}"),
    }
    return result | ({"weakest": least} if least else {})


def names(model: nn.Module, members: list[Member]) -> list[str]:
    """`name [shape]` of each member, in the reference's order."""
    named = models.tensors(model)
    return [f"{member.ours} {list(models.our_shape(member, named))}" for member in members]


def text(key: str, rows: list[dict[str, Any]]) -> str:
    """JSON that reads as a table: a line per field, and per element of a list of records or names."""

    def value(v: Any) -> str:
        if isinstance(v, list) and v and isinstance(v[0], (dict, str)):
            return "[\n" + ",\n".join("      " + json.dumps(element) for element in v) + "\n    ]"
        return json.dumps(v)

    def record(r: dict[str, Any]) -> str:
        return "  {\n" + ",\n".join(f"    {json.dumps(k)}: {value(v)}" for k, v in r.items()) + "\n  }"

    return f"{{\n{json.dumps(key)}: [\n" + ",\n".join(record(r) for r in rows) + "\n]\n}\n"


def merge(path: Path, key: str, row: dict[str, Any], order: list[str]) -> None:
    """Puts the row in its place among those the file already has."""
    old = json.loads(path.read_text())[key] if path.exists() else []
    kept = {r["name"]: r for r in old}
    measured = {k: v for k, v in kept.get(row["name"], {}).items() if k == "weakest"}  # stands until measured again
    kept[row["name"]] = row | (measured if "weakest" not in row else {})
    path.write_text(text(key, [kept[name] for name in order if name in kept]))


def make(golden: Golden, sensitivity: bool) -> tuple[dict[str, Any], list[str]]:
    began = time.time()
    model, members = loaded(golden)
    single = outputs(golden, model, torch.float32)
    least = weakest(golden, model, members) if sensitivity else None
    exact = outputs(golden, model.double(), torch.float64)
    error = difference(single, exact)
    assert error < 2e-5, f"{golden.name}: the f32 run is off by {error:.1e}"
    path = HERE / f"{golden.name}.npz"
    np.savez(path, **{name: tensor.to(torch.float32).contiguous().numpy() for name, tensor in exact.items()})
    print(
        f"{golden.name:22} {path.stat().st_size / 1024:7.1f} KB  f32 {error:.1e}  {time.time() - began:.0f} s",
        flush=True,
    )
    return row(golden, model, len(members), error, least), names(model, members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="the goldens to write (all)")
    parser.add_argument("--sensitivity", action="store_true", help="measure what each weight tensor changes")
    arguments = parser.parse_args()
    weights.check_published()
    table = goldens()
    order = [golden.name for golden in table]
    unknown = set(arguments.only) - set(order)
    assert not unknown, f"no such golden: {sorted(unknown)}"
    for golden in table:
        if arguments.only and golden.name not in arguments.only:
            continue
        entry, members = make(golden, arguments.sensitivity)
        merge(HERE / "index.json", "goldens", entry, order)
        if golden.names:
            merge(HERE / "names.json", "models", {"name": golden.name, "members": members}, order)


if __name__ == "__main__":
    main()
