"""Times our programs and other engines' in turns, and writes what was found.

python run.py [--rows vit resnet] [--threads 1 2] [--precisions f32 bf16] [--engines openvino] [--rounds 15] [--tiny]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import engines
import limits
import report
from chart import chart
from engines import OPEN, OURS, Broken, Case, Engine
from rows import WORK, Row, chosen, small

TOLERANCE = {"f32": 1e-4, "bf16": 0.1}
BATCH = 0.1  # seconds of calls that an engine makes before the next one's turn
LEAST_ROUNDS = 5
LARGE = 2e9  # bytes of weights
CACHE = WORK / "cache"  # of our program, so that the user's is left alone

Record = dict[str, Any]
Begin = Callable[[str], tuple[Engine | None, Record]]


def prepared(row: Row, tiny: bool) -> tuple[Path, Record]:
    """The row's files, made by a process of its own, whose memory is free again afterwards."""
    words = [sys.executable, str(Path(__file__).with_name("prepare.py")), row.name] + ["--tiny"] * tiny
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken((done.stderr.strip().splitlines() or ["no word of why"])[-1])
    folder = WORK / "cases" / (row.name + "-tiny" * tiny)
    return folder, json.loads((folder / "meta.json").read_text())


def worst(folder: Path, output: Path) -> float:
    """The error of an engine's outputs against those that PyTorch gave when the model was exported."""
    with np.load(output) as found, np.load(folder / "expected.npz") as expected:
        if len(found.files) != len(expected.files):
            return float("inf")
        # A spec's only output has no name, so the order decides.
        return max(limits.error(found[a], expected[b]) for a, b in zip(found.files, expected.files, strict=True))


def start(name: str, case: Case, tw: str) -> tuple[Engine | None, Record]:
    """The engine, if it computes what it should, and what is known of it before it is timed."""
    output = case.folder / f"{name}-{case.threads}.npz"
    said: Record = {}
    engine = None
    try:
        if name == OPEN:
            return engines.ours(tw, case, batch=False), {}
        if name == OURS:
            said["compile_seconds"] = engines.our_answer(tw, case, output, ["--no-cache"])["compile_seconds"]
            output.unlink()
            # Once more with what is kept on disk, for that is what a start is timed with.
            engines.our_answer(tw, case, output, [])
            said["error"] = worst(case.folder, output)
            if said["error"] <= TOLERANCE[case.precision]:
                engine = engines.ours(tw, case, batch=True)
        else:
            output.unlink(missing_ok=True)
            engine = engines.peer(name, case, output)
            said["error"] = worst(case.folder, output)
    except Broken as why:
        return None, {"broken": str(why)}
    if said["error"] <= TOLERANCE[case.precision]:
        return engine, said
    if engine:
        engine.close()
    return None, said | {"broken": f"wrong: its error is {said['error']:.1e}"}


def in_turns(running: list[Engine], rounds: int, budget: float) -> dict[str, list[float]]:
    """Per engine the median of its calls of each round."""
    once = {engine.name: min(engine.calls(2)) for engine in running}
    count = {name: max(1, min(200, round(BATCH / seconds))) for name, seconds in once.items()}
    warm = {name: int(seconds < BATCH) for name, seconds in once.items()}
    each = sum(once[name] * (count[name] + warm[name]) for name in once)
    rounds = max(min(rounds, LEAST_ROUNDS), min(rounds, int(budget / each)))
    samples: dict[str, list[float]] = {engine.name: [] for engine in running}
    order = random.Random(0)
    for _ in range(rounds):
        order.shuffle(running)
        for engine in running:
            samples[engine.name].append(statistics.median(engine.calls(count[engine.name], warm[engine.name])))
    return samples


def group(names: list[str], begin: Begin, options: argparse.Namespace) -> dict[str, Record]:
    """What is found when these engines, ours first, take turns."""
    found: dict[str, Record] = {}
    running: list[Engine] = []
    try:
        for name in names:
            engine, found[name] = begin(name)
            if engine:
                running.append(engine)
            elif name == OURS:
                return found
        samples = in_turns(list(running), options.rounds, options.budget)
    finally:
        for engine in running:
            engine.close()
    for engine in running:
        rounds = samples[engine.name]
        times = {"seconds": statistics.median(rounds), "rounds": rounds, "ours": samples[OURS]}
        # How long a start took to compile, with what is kept on disk, is not how long a cold one takes.
        found[engine.name] = engine.facts | found[engine.name] | times | {"peak_bytes": engine.peak_bytes}
    return found


def timed(row: Row, threads: int, precision: str, options: argparse.Namespace) -> Record:
    """Everything about one row on so many threads."""
    folder, meta = prepared(row, options.tiny)
    case = Case(small(row) if options.tiny else row, folder, meta, threads, precision)
    able = options.engines if precision == "f32" else [name for name in options.engines if name in engines.NARROW]
    names = [name for name in able if row.kernel or name != "jax"] + [OPEN] * row.batched
    # Large models are in memory two at a time.
    groups = [[OURS, name] for name in names] if meta["weight_bytes"] > LARGE else [[OURS, *names]]
    known: dict[str, Record] = {}
    for together in groups:
        known |= group(together, lambda name: start(name, case, options.tw), options)
    record = {"row": row.name, "title": row.title, "threads": threads, "precision": precision, "engines": known}
    return record | report.verdict(known, meta, threads, precision)


def every_way(row: Row, options: argparse.Namespace, machine: Record, results: list[Record]) -> None:
    """The row in each precision on each number of threads; what it is worth is added to the results."""
    for precision in options.precisions:
        if precision != "f32" and not row.multiplies:
            continue
        for threads in options.threads:
            begin = time.monotonic()
            try:
                results.append(timed(row, threads, precision, options))
                report.line(results[-1], time.monotonic() - begin)
            except Broken as why:
                print(f"skipped: {row.title}: {why}", flush=True)
                return
            options.out.write_text(json.dumps({"machine": machine, "rows": results}, indent=1) + "\n")


def tidy(row: Row, options: argparse.Namespace) -> None:
    """Large models would fill the disk, one after the other."""
    folder = WORK / "cases" / (row.name + "-tiny" * options.tiny)
    weights = folder / "weights.safetensors"
    if not options.keep and weights.exists() and weights.stat().st_size > LARGE:
        shutil.rmtree(folder)
        shutil.rmtree(CACHE / "weights", ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tw", default=str(WORK.parent / "release" / "tw"), help="our program")
    parser.add_argument("--rows", nargs="*", default=[], help="beginnings of rows' names; all without")
    parser.add_argument("--threads", nargs="*", type=int, default=[], help="1 and 2 without")
    parser.add_argument("--precisions", nargs="*", default=[], choices=list(TOLERANCE), help="f32 and bf16 without")
    parser.add_argument("--keep", action="store_true", help="keep the files of models of more than 2 GB")
    parser.add_argument("--engines", nargs="*", default=[], help="all that are installed, without inductor")
    parser.add_argument("--rounds", type=int, default=15, help="how often every engine has its turn")
    parser.add_argument("--budget", type=float, default=90.0, help="seconds of turns per row and number of threads")
    parser.add_argument("--tiny", action="store_true", help="small models: tries everything, and times nothing")
    parser.add_argument("--out", type=Path, default=WORK / "report.json", help="the results; a chart is put beside it")
    options = parser.parse_args()
    known = engines.PEERS + engines.OPTIONAL
    for name in options.engines:
        if name not in known:
            parser.error(f"no engine is called `{name}`: there are {' '.join(known)}")
    present = []
    for name in options.engines or engines.PEERS:
        if engines.installed(name):
            present.append(name)
        else:
            print(f"skipped: {name} is not installed")
    options.engines, options.threads = present, options.threads or [1, 2]
    options.precisions = options.precisions or list(TOLERANCE)
    return options


def main() -> None:
    options = arguments()
    os.environ["TILEWRIGHT_CACHE"] = str(CACHE)
    picked = chosen(options.rows)
    machine = report.machine(options.tw) | {"bandwidth": {str(n): limits.bandwidth(n) for n in options.threads}}
    results: list[Record] = []
    report.heading(machine)
    for row in picked:
        every_way(row, options, machine, results)
        tidy(row, options)
    report.closing(results)
    options.out.with_suffix(".svg").write_text(chart(results, machine))
    print(f"\n{options.out} and {options.out.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
