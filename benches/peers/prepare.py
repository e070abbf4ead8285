"""Writes what the engines of one row read: the model as ONNX and as a PyTorch module, weights, inputs, expected outputs.

    python prepare.py ROW [--tiny]

Nothing is done where the files are newer than everything that they are made from.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from references import Reference, reference
from rows import ROOT, WORK, Row, chosen, small


def folder(row: Row, tiny: bool) -> Path:
    return WORK / "cases" / (row.name + ("-tiny" if tiny else ""))


def fresh(row: Row, path: Path) -> bool:
    """Whether the files were made from this row, after the sources were last changed."""
    meta = path / "meta.json"
    here, goldens = Path(__file__).parent, ROOT / "tests" / "goldens"
    names = "kernels.py references.py prepare.py"
    sources = [here / name for name in names.split()] + list(goldens.glob("*.py"))
    if not meta.exists() or json.loads(meta.read_text()).get("made_from") != repr(row):
        return False
    return meta.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def export(made: Reference, path: Path) -> None:
    past = [name for name in made.feeds if name not in made.inputs]
    outputs = made.outputs + [f"new.{name}" for name in past]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            made.module, tuple(made.feeds.values()), path, dynamo=True, verbose=False,
            input_names=list(made.feeds), output_names=outputs,
        )  # fmt: skip


def write(row: Row, made: Reference, path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        results = made.module(*made.feeds.values())
    results = results if isinstance(results, tuple) else (results,)
    expected = dict(zip(made.outputs, (tensor.numpy() for tensor in results)))
    np.savez(path / "inputs.npz", **{name: tensor.numpy() for name, tensor in made.inputs.items()})
    np.savez(path / "feeds.npz", **{name: tensor.numpy() for name, tensor in made.feeds.items()})
    np.savez(path / "expected.npz", **expected)
    size = sum(array.nbytes for array in made.weights.values())
    save_file({name: np.ascontiguousarray(value) for name, value in made.weights.items()}, path / "weights.safetensors")
    made.weights.clear()  # the module has a copy, and large models fill the memory
    torch.save(made.module, path / "module.pt")
    export(made, path / "model.onnx")
    read = size + sum(tensor.nbytes for tensor in made.feeds.values())
    written = sum(array.nbytes for array in expected.values())
    meta = {
        "made_from": repr(row), "spec": made.spec, "model": made.model, "preset": made.preset, "kernel": row.kernel,
        "outputs": made.outputs, "weight_bytes": size, "bytes_read": read, "bytes_written": written,
    }  # fmt: skip
    (path / "meta.json").write_text(json.dumps(meta, indent=1))


def main(name: str, tiny: bool) -> None:
    row = next(row for row in chosen([name]) if row.name == name)
    path = folder(row, tiny)
    row = small(row) if tiny else row
    if fresh(row, path):
        return
    torch.manual_seed(0)
    try:
        made = reference(row)
    except LookupError as missing:
        raise SystemExit(str(missing)) from None
    write(row, made, path)


if __name__ == "__main__":
    main(sys.argv[1], "--tiny" in sys.argv)
