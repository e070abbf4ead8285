"""Times training steps: forward, gradients and the update of every weight, ours and PyTorch's, in turns.

    python learning.py [--rows resnet18 gpt2] [--engines pytorch inductor] [--threads 2] [--rounds 9] [--tw PROGRAM]

Ours are the steps of `specs/learning.tw`, with every size fixed. What is computed is held against PyTorch by the tests
(`tests/specs/parity.rs`), not here: weights and data are made up on both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import engines
from engines import OURS, Broken, Engine
from rows import ROOT, WORK
from run import in_turns

SPEC = "benches/peers/specs/learning.tw"


@dataclass(frozen=True)
class Step:
    title: str
    model: str
    dims: dict[str, int]
    sets: dict[str, int] = field(default_factory=dict)


STEPS = {
    "resnet18": Step("ResNet-18, batch 8, 224², SGD", "ResNetStep", {"B": 8, "H": 224, "W": 224}),
    "gpt2": Step("GPT-2 of 6 layers, batch 2 × 128, AdamW", "Gpt2Step", {"B": 2, "T": 128}, {"depth": 6}),
}


def twin(name: str, is_compiled: bool) -> Callable[[], object]:
    """The same step in PyTorch, as a function of nothing; the optimizer stays as it is."""
    import torch
    from torch.nn.functional import cross_entropy

    sys.path.insert(0, str(ROOT / "tests" / "goldens"))
    import models

    dims = STEPS[name].dims
    if name == "resnet18":
        model = models.resnet([2, 2, 2, 2], False).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x, y = torch.randn(dims["B"], 3, dims["H"], dims["W"]), torch.randint(1000, (dims["B"],))
        loss = lambda: cross_entropy(model(x), y)  # noqa: E731
    else:
        # Without dropout, as ours.
        model = models.gpt2(768, STEPS[name].sets["depth"], 12, 50257, 1024).eval()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        x, y = (torch.randint(50257, (dims["B"], dims["T"])) for _ in range(2))
        loss = lambda: cross_entropy(model(x, use_cache=False).logits.flatten(0, 1), y.flatten())  # noqa: E731

    forward = torch.compile(loss) if is_compiled else loss

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        value = forward()
        value.backward()
        optimizer.step()
        return value

    return step


def work(engine: str, name: str, threads: int) -> None:
    """A peer's process; the protocol is that of `tw bench --paced`."""
    import torch

    begin = time.perf_counter()
    torch.set_num_threads(threads)
    step = twin(name, engine == "inductor")
    for _ in range(2):
        step()
    print(json.dumps({"start_seconds": time.perf_counter() - begin, "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def started(engine: str, name: str, threads: int, tw: str) -> Engine:
    folder = WORK / "cases"
    folder.mkdir(parents=True, exist_ok=True)
    step = STEPS[name]
    words = [word for size, value in step.dims.items() for word in ("--dim", f"{size}={value}")]
    words += [word for key, value in step.sets.items() for word in ("--set", f"{key}={value}")]
    ours = [tw, "bench", SPEC, "--model", step.model, "--threads", str(threads), "--quiet", "--paced", *words]
    theirs = [sys.executable, str(Path(__file__)), "--worker", engine, name, str(threads)]
    return Engine(engine, ours if engine == OURS else theirs, folder / f"learning-{name}-{engine}-{threads}.log")


def timed(name: str, options: argparse.Namespace) -> None:
    running: list[Engine] = []
    try:
        for engine in [OURS, *options.engines]:
            try:
                running.append(started(engine, name, options.threads, options.tw))
            except Broken as why:
                print(f"{engine}: {why}", file=sys.stderr)
        rounds = in_turns(list(running), options.rounds, options.budget)
    finally:
        for engine in running:
            engine.close()
    medians = {engine.name: statistics.median(rounds[engine.name]) for engine in running}
    print(f"{STEPS[name].title}, {options.threads} threads")
    for engine in running:
        planned = engine.facts.get("planned_bytes")
        before, files = (engine.facts.get(key) or 0 for key in ("before_bytes", "file_bytes"))
        if planned and engine.peak_bytes:
            session, own = (engine.peak_bytes - before) / planned, (engine.peak_bytes - files) / planned
            print(f"  {planned / 1e6:.0f} MB planned, {before / 1e6:.0f} MB before, {files / 1e6:.0f} MB pages of files")
            print(f"  of the plan: the session {session:.2f}, the process without pages of files {own:.2f}")
        seconds = medians[engine.name]
        ratio = f"{seconds / medians[OURS]:6.2f}" if OURS in medians else "     -"
        print(f"  {engine.name:10} {1e3 * seconds:9.1f} ms  ratio {ratio}  peak {engine.peak_bytes / 1e6:7.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tw", default=str(WORK.parent / "release" / "tw"), help="our program")
    parser.add_argument("--rows", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--engines", nargs="*", default=["pytorch", "inductor"], choices=["pytorch", "inductor"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="how often every engine has its turn")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of turns per row")
    parser.add_argument("--worker", nargs=3, metavar=("ENGINE", "ROW", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        engine, name, threads = options.worker
        return work(engine, name, int(threads))
    for name in options.rows:
        timed(name, options)


if __name__ == "__main__":
    main()
