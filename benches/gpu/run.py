"""Runs named specs on an NVIDIA GPU: held against the CPU, and timed beside PyTorch.

    cargo build --release --features cuda
    python benches/gpu/run.py [--tw PROGRAM] [--target cuda] [--runs 50] [--rows vit resnet50 gpt2]

Without a GPU, as `tw targets` sees it, it says so and measures nothing. Weights are a function of names and shapes, the same
on both devices; outputs are compared by the largest difference over the largest number. PyTorch's models are those of
`tests/goldens/models.py`, with weights of its own, so only its times count; without PyTorch its column is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Row:
    spec: str
    preset: str
    dims: dict[str, int]
    inputs: dict[str, tuple[object, ...]] = field(default_factory=dict)


# Inputs are those that PyTorch's twin is called with: how many classes, or None for floats, and the shape.
ROWS = {
    "vit": Row("specs/vision/vit.tw", "b16", {"B": 8}, {"pixels": (None, 8, 3, 224, 224)}),
    "resnet50": Row("specs/vision/resnet.tw", "50", {"B": 8, "H": 224, "W": 224}, {"pixels": (None, 8, 3, 224, 224)}),
    "gpt2": Row("specs/language/gpt2.tw", "small", {"B": 1, "T": 512}, {"tokens": (50257, 1, 512)}),
}


def tw(program: str, *words: str) -> str:
    done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(words)}\n{done.stderr}")
    return done.stdout


def is_there(program: str, target: str) -> bool:
    for found in json.loads(tw(program, "targets", "--json")):
        if found["target"] == target:
            print(f"{'on' if found['available'] else 'skipped:'} {found['what']}")
            return bool(found["available"])
    print(f"skipped: `tw targets` knows no {target}")
    return False


def made_up(row: Row, folder: Path) -> list[str]:
    """The inputs as an npz file, and the words that name it."""
    import numpy

    random = numpy.random.default_rng(0)
    arrays = {
        name: random.standard_normal(shape, numpy.float32) if classes is None else random.integers(classes, size=shape)
        for name, (classes, *shape) in row.inputs.items()
    }
    numpy.savez(folder / "inputs.npz", **arrays)
    return ["--input", str(folder / "inputs.npz")]


def difference(program: str, row: Row, target: str) -> float:
    import numpy

    outputs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = made_up(row, folder)
        for device in ("cpu", target):
            out = folder / f"{device}.npz"
            spec = [row.spec, "--preset", row.preset, "--weights", "synthetic", "--output", str(out)]
            tw(program, "run", *spec, "--target", device, "--quiet", *words)
            outputs.append(next(iter(numpy.load(out).values())).astype(numpy.float64))
    return float(numpy.abs(outputs[0] - outputs[1]).max() / numpy.abs(outputs[0]).max())


def ours(program: str, row: Row, target: str, runs: int) -> float:
    sizes = [word for name, size in row.dims.items() for word in ("--dim", f"{name}={size}")]
    words = [row.spec, "--preset", row.preset, "--target", target, "--runs", str(runs), "--quiet", "--json", *sizes]
    return float(json.loads(tw(program, "bench", *words))["median_seconds"])


def theirs(name: str, row: Row, runs: int) -> float | None:
    """The median of PyTorch in f32, with its fast kernels for contractions off, or None without it."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    sys.path.insert(0, str(ROOT / "tests" / "goldens"))
    import models

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    made = {
        "vit": lambda: models.vit(224, 16, 768, 12, 12, 1000),
        "resnet50": lambda: models.resnet([3, 4, 6, 3], True),
        "gpt2": lambda: models.gpt2(768, 12, 12, 50257, 1024),
    }[name]()
    model = made.eval().cuda()
    (classes, *shape), *_ = row.inputs.values()
    given = torch.randn(shape) if classes is None else torch.randint(classes, shape)
    times = []
    with torch.inference_mode():
        for _ in range(runs + 3):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            # Inputs come from the host and outputs go back, as in ours.
            output = model(given.cuda())
            getattr(output, "logits", output).cpu()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times[3:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tw", default=str(ROOT / "target" / "release" / "tw"))
    parser.add_argument("--target", default="cuda", choices=["cuda", "wgpu"])
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    if not is_there(options.tw, options.target):
        return 0
    wrong = 0
    for name in options.rows:
        row = ROWS[name]
        error = difference(options.tw, row, options.target)
        wrong += error > TOLERANCE
        seconds, peer = ours(options.tw, row, options.target, options.runs), theirs(name, row, options.runs)
        beside = f"PyTorch {1e3 * peer:8.2f} ms" if peer else "PyTorch skipped"
        verdict = "" if error <= TOLERANCE else "  WRONG"
        print(f"{name:10} {1e3 * seconds:8.2f} ms  {beside}  {error:.1e} from the CPU{verdict}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
