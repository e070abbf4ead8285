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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

import models
import weights
from models import Member

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DIGITS = Path("specs/vision/digits")

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Input:
    """One operand of a call: generated under `key`, read from a file, or a plain scalar."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: dict[str, Any]

    def value(self) -> torch.Tensor:
        if "key" in self.source and self.dtype == "i64":
            return torch.from_numpy(weights.tokens(self.source["key"], self.shape, self.source["vocabulary"]))
        if "key" in self.source:
            return torch.from_numpy(weights.uniform(self.source["key"], self.shape))
        if "file" in self.source:
            return torch.from_numpy(np.load(ROOT / self.source["file"])[self.source["array"]])
        return torch.tensor(self.source["value"])


@dataclass(frozen=True)
class Slice:
    """`start..stop by step` along one axis: the part of an output that is kept."""

    axis: int
    start: int
    stop: int
    step: int = 1


@dataclass(frozen=True)
class Stored:
    """An array of the `.npz`: an output of one call, cut by the slices in turn."""

    array: str
    output: str
    slices: tuple[Slice, ...] = ()

    def cut(self, tensor: torch.Tensor) -> torch.Tensor:
        for s in self.slices:
            tensor = tensor.movedim(s.axis, 0)[s.start : s.stop : s.step].movedim(0, s.axis)
        return tensor


@dataclass(frozen=True)
class Call:
    """One call of an entry; the calls of a golden share their state and run in order."""

    entry: str
    inputs: tuple[Input, ...]
    stored: tuple[Stored, ...]


Run = Callable[[nn.Module, list[Tensors]], list[Tensors]]


@dataclass(frozen=True)
class Golden:
    name: str
    spec: str
    model: str
    preset: str
    config: dict[str, Any]
    build: Callable[[], nn.Module]
    members: list[Member]
    calls: tuple[Call, ...]
    run: Run
    published: int | None = None
    trained: str | None = None
    names: bool = field(default=False)  # whether names.json lists its members


# ---- how the references are called


def run_plain(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    return [{"logits": model(inputs["pixels"])} for inputs in calls]


def run_lstm(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    outputs = []
    for inputs in calls:
        sequence, (h, c) = model(inputs["x"])
        outputs.append({"output": sequence, "h": h[0], "c": c[0]})
    return outputs


def run_gpt2(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    cache, outputs = None, []
    for inputs in calls:
        result = model(input_ids=inputs["tokens"], past_key_values=cache, use_cache=True)
        cache = result.past_key_values
        outputs.append({"logits": result.logits})
    return outputs


# ---- the table


def vit(name: str, preset: str, batch: int = 1, published: int | None = None, names: bool = False, **config: int) -> Golden:
    pixels = Input("pixels", "f32", (batch, config.get("channels", 3), config["image"], config["image"]), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/vit.tw", "ViT", preset, config,
        lambda: models.vit(**config), models.vit_members(config["depth"]),
        (Call("call", (pixels,), (Stored("logits", "logits"),)),), run_plain, published, names=names,
    )  # fmt: skip


def vit_digits_trained() -> Golden:
    held_out = Input("pixels", "f32", (360, 1, 8, 8), {"file": str(DIGITS / "held_out.npz"), "array": "pixels"})
    return Golden(
        "vit_digits", "specs/vision/vit.tw", "ViT", "digits", DIGITS_CONFIG,
        lambda: models.vit(**DIGITS_CONFIG), models.vit_members(DIGITS_CONFIG["depth"]),
        (Call("call", (held_out,), (Stored("logits", "logits"),)),), run_plain,
        trained=str(DIGITS / "weights.safetensors"), names=True,
    )  # fmt: skip


def resnet(name: str, preset: str, batch: int, size: int, published: int | None = None, names: bool = False, **config: Any) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, size, size), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/resnet.tw", "ResNet", preset, config,
        lambda: models.resnet(**config), models.resnet_members(config["blocks"], config["bottleneck"]),
        (Call("call", (pixels,), (Stored("logits", "logits"),)),), run_plain, published, names=names,
    )  # fmt: skip


def mobilenet_v2(name: str, batch: int, size: int, names: bool = False) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, size, size), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/mobilenet_v2.tw", "MobileNetV2", "", {},
        models.mobilenet_v2, models.mobilenet_v2_members(),
        (Call("call", (pixels,), (Stored("logits", "logits"),)),), run_plain, 3_504_872, names=names,
    )  # fmt: skip


def gpt2(name: str, preset: str, calls: tuple[Call, ...], published: int | None = None, names: bool = False, **config: int) -> Golden:
    return Golden(
        name, "specs/language/gpt2.tw", "GPT2", preset, config,
        lambda: models.gpt2(**config), models.gpt2_members(config["depth"]), calls, run_gpt2, published, names=names,
    )  # fmt: skip


def prefill(key: str, batch: int, length: int, vocabulary: int, stored: tuple[Stored, ...]) -> Call:
    tokens = Input("tokens", "i64", (batch, length), {"key": key, "vocabulary": vocabulary})
    return Call("prefill", (tokens,), stored)


def decode(key: str, batch: int, vocabulary: int, at: int, stored: tuple[Stored, ...]) -> Call:
    token = Input("tokens", "i64", (batch, 1), {"key": f"{key}:{at}", "vocabulary": vocabulary})
    return Call("decode", (token, Input("at", "i64", (), {"value": at})), stored)


def lstm(name: str, preset: str, size: int, length: int, every: int, published: int | None = None, names: bool = False) -> Golden:
    x = Input("x", "f32", (2, length, size), {"key": f"input:{name}"})
    start = (length - 1) % every
    steps = (Slice(1, start, length, every),) if every > 1 else ()
    stored = (Stored("output", "output", steps), Stored("h", "h"), Stored("c", "c"))
    return Golden(
        name, "specs/recurrent/lstm.tw", "LSTM", preset, {"input": size, "hidden": size},
        lambda: models.lstm(size, size), models.lstm_members(), (Call("call", (x,), stored),), run_lstm, published, names=names,
    )  # fmt: skip


DIGITS_CONFIG = dict(image=8, patch=2, dim=64, depth=4, heads=4, classes=10, channels=1)
VOCABULARY = 50257
SPREAD = Slice(2, 0, VOCABULARY, 101)  # a sample of the vocabulary, and its end where a last tile would be short
END = Slice(2, VOCABULARY - 65, VOCABULARY)
GPT2 = dict(dim=768, depth=12, heads=12, vocab=VOCABULARY, context=1024)
GPT2_TINY = dict(dim=64, depth=2, heads=4, vocab=256, context=32)


def spread(call: int | str = "") -> tuple[Stored, ...]:
    suffix = f"_{call}" if call else ""
    return (Stored(f"logits{suffix}", "logits", (SPREAD,)), Stored(f"logits_end{suffix}", "logits", (END,)))


def goldens() -> list[Golden]:
    return [
        vit("vit_b16", "b16", published=86_567_656, names=True, image=224, patch=16, dim=768, depth=12, heads=12, classes=1000),
        vit("vit_b32", "b32", published=88_224_232, image=224, patch=32, dim=768, depth=12, heads=12, classes=1000),
        vit("vit_l16", "l16", published=304_326_632, image=224, patch=16, dim=1024, depth=24, heads=16, classes=1000),
        vit("vit_tiny", "", batch=2, names=True, image=32, patch=8, dim=48, depth=2, heads=3, classes=10),
        vit("vit_digits_generated", "digits", batch=3, **DIGITS_CONFIG),
        vit_digits_trained(),
        resnet("resnet18", "18", 1, 224, 11_689_512, names=True, blocks=[2, 2, 2, 2], bottleneck=False),
        resnet("resnet18_64", "18", 2, 64, 11_689_512, blocks=[2, 2, 2, 2], bottleneck=False),
        resnet("resnet50", "50", 1, 224, 25_557_032, names=True, blocks=[3, 4, 6, 3], bottleneck=True),
        resnet("resnet50_64", "50", 2, 64, 25_557_032, blocks=[3, 4, 6, 3], bottleneck=True),
        mobilenet_v2("mobilenet_v2", 1, 224, names=True),
        mobilenet_v2("mobilenet_v2_64", 2, 64),
        gpt2("gpt2_prefill", "small", (prefill("input:gpt2_prefill", 1, 16, VOCABULARY, spread()),), 124_439_808, names=True, **GPT2),
        gpt2(
            "gpt2_decode", "small",
            (prefill("input:gpt2_prefill", 1, 16, VOCABULARY, ()),)
            + tuple(decode("input:gpt2_decode", 1, VOCABULARY, at, spread(at)) for at in range(16, 20)),
            124_439_808, **GPT2,
        ),
        gpt2("gpt2_tiny", "tiny", (prefill("input:gpt2_tiny", 2, 12, 256, (Stored("logits", "logits"),)),), names=True, **GPT2_TINY),
        gpt2(
            "gpt2_tiny_decode", "tiny",
            (prefill("input:gpt2_tiny", 2, 12, 256, ()),)
            + tuple(decode("input:gpt2_tiny_decode", 2, 256, at, (Stored(f"logits_{at}", "logits"),)) for at in range(12, 16)),
            **GPT2_TINY,
        ),
        lstm("lstm", "", 512, 20, 6, 2_101_248, names=True),
        lstm("lstm_tiny", "tiny", 16, 5, 1),
    ]  # fmt: skip


# ---- running one


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


def loaded(golden: Golden) -> nn.Module:
    model = golden.build()
    parameters = models.count(model)
    assert golden.published in (None, parameters), f"{golden.name}: {parameters:,} parameters"
    if golden.trained is None:
        return models.generated(model, golden.members)
    file = load_file(ROOT / golden.trained)
    models.load(model, golden.members, lambda name, shape: file[name].reshape(shape))
    return model.eval()


def weakest(golden: Golden, model: nn.Module) -> dict[str, Any]:
    """Each tensor in turn takes the values of another key; the tensor whose change shows least."""
    named = models.tensors(model)
    base = outputs(golden, model, torch.float32)
    rows = []
    for member in golden.members:
        tensor = named[member.theirs]
        kept = tensor.detach().clone()
        models.fill(member, tensor, weights.weight(member.ours, models.our_shape(member, tensor), f"perturbed:{member.ours}"))
        rows.append((difference(outputs(golden, model, torch.float32), base), member.ours))
        with torch.no_grad():
            tensor.copy_(kept)
    rows.sort()
    for change, name in rows[:4]:
        print(f"    {change:.1e}  {name}")
    return {"member": rows[0][1], "change": float(f"{rows[0][0]:.1e}")}


# ---- writing


def row(golden: Golden, model: nn.Module, f32_error: float, least: dict[str, Any] | None) -> dict[str, Any]:
    def slices(stored: Stored) -> list[dict[str, int]]:
        return [dict(axis=s.axis, start=s.start, stop=s.stop, step=s.step) for s in stored.slices]

    result = {
        "name": golden.name,
        "spec": golden.spec,
        "model": golden.model,
        "preset": golden.preset,
        "config": golden.config,
        "weights": golden.trained or "generated",
        "params": models.count(model),
        "published": golden.published is not None,
        "tensors": len(golden.members),
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


def names(golden: Golden, model: nn.Module) -> list[str]:
    """`name [shape]` of each member, in the reference's order."""
    named = models.tensors(model)
    return [f"{m.ours} {list(models.our_shape(m, named[m.theirs]))}" for m in golden.members]


def merge(path: Path, key: str, rows: dict[str, Any], order: list[str]) -> None:
    """Replaces the rows of a JSON object file, keeping the others; one line per leaf record."""
    old = json.loads(path.read_text())[key] if path.exists() else []
    kept = {r["name"]: r for r in old if r["name"] in order} | rows
    path.write_text(json.dumps({key: [kept[name] for name in order if name in kept]}, indent=1) + "\n")


def make(golden: Golden, sensitivity: bool) -> tuple[dict[str, Any], list[str]]:
    began = time.time()
    model = loaded(golden)
    single = outputs(golden, model, torch.float32)
    least = weakest(golden, model) if sensitivity else None
    exact = outputs(golden, model.double(), torch.float64)
    error = difference(single, exact)
    assert error < 2e-5, f"{golden.name}: the f32 run is off by {error:.1e}"
    path = HERE / f"{golden.name}.npz"
    np.savez(path, **{name: tensor.to(torch.float32).contiguous().numpy() for name, tensor in exact.items()})
    print(f"{golden.name:22} {path.stat().st_size / 1024:7.1f} KB  f32 {error:.1e}  {time.time() - began:.0f} s", flush=True)
    return row(golden, model, error, least), names(golden, model)


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
        merge(HERE / "index.json", "goldens", {golden.name: entry}, order)
        if golden.names:
            merge(HERE / "names.json", "members", {golden.name: {"name": golden.name, "members": members}}, order)


if __name__ == "__main__":
    main()
