"""Engines as processes that make calls when they are told to, and stand still in between."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import ROOT, Row

OURS, OPEN = "tw", "tw, B open"
PEERS = ["onnxruntime", "openvino", "pytorch", "jax", "iree", "tract"]
OPTIONAL = ["inductor"]
NARROW = ["openvino"]  # those that can be told to compute an f32 model in bf16
MOST = {"iree": 2e8}  # bytes of weights; it takes them as text
PATIENCE = 600.0  # seconds for a model to be loaded, or for a batch of calls


@dataclass(frozen=True)
class Case:
    """A row with its files, and how it is to be computed."""

    row: Row
    folder: Path
    meta: dict[str, Any]
    threads: int
    precision: str


class Broken(Exception):
    """An engine that does not compute the row: its last words."""


class Engine:
    """A process that follows the protocol of `tw bench --paced`."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("w") as words:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=words, text=True, cwd=ROOT)
        self.facts: dict[str, Any] = self.line()
        self.peak_bytes = 0
        self.pause()

    def line(self) -> Any:
        """The next line that is JSON; some libraries write to stdout, too."""
        assert self.process.stdout
        while select.select([self.process.stdout], [], [], PATIENCE)[0]:
            line = self.process.stdout.readline()
            if not line:
                break
            if line[0] in "{[":
                return json.loads(line)
        self.close()
        words = self.log.read_text().strip().splitlines()
        raise Broken(words[-1].strip() if words else f"no answer within {PATIENCE:.0f} s")

    def calls(self, count: int, warm: int = 0) -> list[float]:
        """The seconds of so many calls, after some that do not count; the other engines are stopped meanwhile."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"{warm + count}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Broken(f"{self.name} ended before its time") from None
        times = self.line()
        self.pause()
        return times[warm:]

    def pause(self) -> None:
        """Threads that spin for work would take the time of the next engine."""
        self.process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        status = Path(f"/proc/{self.process.pid}/status")
        if self.process.poll() is None and status.exists():
            peak = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            self.peak_bytes = 1024 * int(peak[0]) if peak else 0
        self.process.kill()
        self.process.wait()


def our_model(case: Case, batch: bool) -> list[str]:
    """What `tw bench` and `tw run` are told alike."""
    row, meta = case.row, case.meta
    dims = dict(row.dims, B=1) if batch and row.batched else row.dims
    words = [meta["spec"], "--model", meta["model"], "--entry", row.entry, "--threads", str(case.threads), "--quiet"]
    words += ["--preset", meta["preset"]] if meta["preset"] else []
    words += [word for name, value in row.sets.items() for word in ("--set", f"{name}={value}")]
    words += [word for name, value in dims.items() for word in ("--dim", f"{name}={value}")]
    words += ["--weights", str(case.folder / "weights.safetensors")] if meta["weight_bytes"] else []
    return [*words, "--precision", case.precision, "--input", str(case.folder / "inputs.npz")]


def our_answer(tw: str, case: Case, output: Path, more: list[str]) -> dict[str, Any]:
    """What `tw run` computes; the report says how long it took to compile."""
    command = [tw, "run", *our_model(case, batch=True), "--output", str(output), "--json", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(" ".join(done.stderr.strip().splitlines()[:1]) or f"exit code {done.returncode}")
    return json.loads(done.stdout)


def ours(tw: str, case: Case, batch: bool) -> Engine:
    name = OURS if batch else OPEN
    return Engine(name, [tw, "bench", *our_model(case, batch), "--paced"], case.folder / f"{OURS}-{case.threads}.log")


def peer(name: str, case: Case, output: Path) -> Engine:
    if case.meta["weight_bytes"] > MOST.get(name, math.inf):
        raise Broken(f"left out: more than {MOST[name] / 1e6:.0f} MB of weights")
    worker = Path(__file__).with_name("worker.py")
    command = [sys.executable, str(worker), name, str(case.folder), str(case.threads), case.precision, str(output)]
    return Engine(name, command, case.folder / f"{name}-{case.threads}.log")


def installed(name: str) -> bool:
    """Whether the environment has the peer at all."""
    module = {"pytorch": "torch", "inductor": "torch"}.get(name, name)
    search = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    return subprocess.run([sys.executable, "-c", search, module], check=False, env=os.environ).returncode == 0
