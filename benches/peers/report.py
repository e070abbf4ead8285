"""What the times mean: against the best peer, and against what the machine can do."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

from engines import OPEN, OURS
from limits import bandwidth, ratio

Record = dict[str, Any]


def machine(tw: str) -> Record:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    version = subprocess.run([tw, "--version"], capture_output=True, text=True, check=True).stdout
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"cpu": cpu, "cores": os.cpu_count(), "date": date, "tw": version.strip(), "load": os.getloadavg()[0]}


# How many times as many products a narrower type gives, and which part of the bytes of weights it leaves.
NARROWER = {"f32": (1.0, 1.0), "bf16": (2.0, 0.5)}


def shortest(read: float, written: float, rates: dict[str, float]) -> float:
    """Seconds in which so many bytes can be read and written: a machine may copy faster than it reads."""
    copied = min(read, written)
    return 2 * copied / rates["copy"] + (read - copied) / rates["read"] + (written - copied) / max(rates.values())


def verdict(known: dict[str, Record], meta: Record, threads: int, precision: str) -> Record:
    """The machine's limit for the row, the best peer, and the ratio to it with its interval."""
    us = known[OURS]
    flops, peak = us.get("flops") or 0.0, us.get("peak_flops_per_second", math.inf)
    products, part = NARROWER[precision]
    # Not where the machine takes longer for narrow products, and wide ones are computed.
    products = products if us.get("narrow_products", True) else 1.0
    read, written = meta["bytes_read"] - (1 - part) * meta["weight_bytes"], meta["bytes_written"]
    rates = bandwidth(threads, int(read + written))
    limit = {"arithmetic": flops / (products * peak), "memory": shortest(read, written, rates)}
    binds = max(limit, key=limit.__getitem__)
    found: Record = {"flops": flops, "bytes": read + written, "bandwidth": rates, "limit_seconds": limit, "binds": binds}
    if "rounds" not in us:
        return found
    peers = {name: engine for name, engine in known.items() if name not in (OURS, OPEN) and "rounds" in engine}
    if peers:
        best = min(peers, key=lambda name: peers[name]["seconds"])
        found |= {"best": best, "best_share": limit[binds] / peers[best]["seconds"]}
        found["ratio"] = ratio(peers[best]["ours"], peers[best]["rounds"])
        # Large models take turns in pairs: of our times those beside the best peer are shown, from which the ratio is.
        us["seconds"] = statistics.median(peers[best]["ours"])
    found["share"] = limit[binds] / us["seconds"]
    return found


def heading(facts: Record) -> None:
    print(f"{facts['cpu']}, {facts['cores']} cores; load {facts['load']:.1f}")
    for threads, rates in facts["bandwidth"].items():
        print(f"{threads} threads: copy {rates['copy'] / 1e9:.1f} GB/s, read {rates['read'] / 1e9:.1f} GB/s")
    print(
        f"\n{'':34} {'':>4} {'':>2} {'tw':>9} {'B open':>9} {'best peer':>22} {'ratio':>6} {'95 %':>12} "
        f"{'limit':>11} {'MB':>6} {'start':>7} {'compile':>8}"
    )


def milliseconds(engine: Record | None) -> str:
    return f"{1e3 * engine['seconds']:.3f}" if engine and "seconds" in engine else "–"


def line(result: Record, took: float) -> None:
    """A row of the table, and under it the other engines."""
    known = result["engines"]
    us, best = known[OURS], result.get("best")
    text = f"{result['title']:34} {result['precision']:>4} {result['threads']:>2} {milliseconds(us):>9} {milliseconds(known.get(OPEN)):>9} "
    if best:
        value, low, high = result["ratio"]
        text += f"{milliseconds(known[best]):>10} {best:<11} {value:6.2f} {low:5.2f}–{high:<6.2f} "
    if "seconds" in us:
        text += f"{100 * result['share']:4.0f} % {result['binds'][:4]} {us['peak_bytes'] / 1e6:6.0f} "
        text += f"{us['start_seconds']:5.2f} s {us['compile_seconds']:6.2f} s"
    print(text)
    if "error" in us and "seconds" in us:
        print(f"    {OURS:12} error {us['error']:.0e}")
    for name, engine in known.items():
        if "broken" in engine:
            print(f"    {name}: {engine['broken']}")
        elif name not in (OURS, OPEN):
            print(
                f"    {name:12} {milliseconds(engine):>9} ms  {engine['peak_bytes'] / 1e6:6.0f} MB  "
                f"start {engine['start_seconds']:5.2f} s  error {engine['error']:.0e}"
            )
    print(f"    {took:.0f} s", flush=True)


def geometric(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def closing(results: list[Record]) -> None:
    """Means over the rows, and the rows that are not won."""
    for precision, threads in sorted({(r["precision"], r["threads"]) for r in results}, reverse=True):
        rows = [r for r in results if (r["precision"], r["threads"]) == (precision, threads) and "ratio" in r]
        if not rows:
            continue
        mean = geometric([row["ratio"][0] for row in rows])
        behind = [row["title"] for row in rows if row["ratio"][1] < 0.98]
        print(f"\n{precision}, {threads} threads: geometric mean {mean:.2f} over {len(rows)} rows", end="")
        print(f"; 95 % bound under 0.98: {', '.join(behind)}" if behind else "; no row's 95 % bound is under 0.98")
