"""The goldens: which model, from which inputs, through which calls, and what is kept of the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import models
import weights

ROOT = Path(__file__).resolve().parents[2]
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


WHOLE = Stored("logits", "logits")

Run = Callable[[nn.Module, list[Tensors]], list[Tensors]]


@dataclass(frozen=True)
class Golden:
    name: str
    spec: str
    model: str
    preset: str
    config: dict[str, Any]
    build: Callable[[], nn.Module]
    map: str  # of the weights, in the spec's .toml; none where all names agree
    calls: tuple[Call, ...]
    run: Run
    published: int | None = None
    trained: str | None = None
    gain: float = 1.0  # of the generated matrices and kernels, where a signal would die out on its way
    names: bool = field(default=False)  # whether names.json lists its members


def run_plain(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    return [{"logits": model(inputs["pixels"])} for inputs in calls]


def run_lstm(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    outputs = []
    for inputs in calls:
        sequence, (h, c) = model(inputs["x"])
        outputs.append({"output": sequence, "h": h, "c": c})
    return outputs


def run_decoder(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    cache, outputs = None, []
    for inputs in calls:
        result = model(input_ids=inputs["tokens"], past_key_values=cache, use_cache=True)
        cache = result.past_key_values
        outputs.append({"logits": result.logits})
    return outputs


def run_denoiser(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    outputs = []
    for inputs in calls:
        words = {"encoder_hidden_states": inputs["words"]} if "words" in inputs else {}
        outputs.append({"noise": model(inputs["x"], inputs["t"], **words).sample})
    return outputs


def run_mamba(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    """The calls go on from each other, so what they give are parts of one sequence; a step has no axis of positions."""
    tokens = [inputs["tokens"] for inputs in calls]
    rows = [part if part.dim() == 2 else part[:, None] for part in tokens]
    logits = model(input_ids=torch.cat(rows, dim=1), use_cache=False).logits
    parts = logits.split([row.shape[1] for row in rows], dim=1)
    return [{"logits": part if t.dim() == 2 else part[:, 0]} for part, t in zip(parts, tokens, strict=True)]


def run_layers(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    return [getattr(model, entry)(**inputs) for entry, inputs in zip(LAYERS, calls, strict=True)]


def run_bert(model: nn.Module, calls: list[Tensors]) -> list[Tensors]:
    outputs = []
    for inputs in calls:
        result = model(input_ids=inputs["tokens"], token_type_ids=inputs["kinds"], attention_mask=inputs["mask"])
        outputs.append({"hidden": result.last_hidden_state, "pooled": result.pooler_output})
    return outputs


def vit(
    name: str, preset: str, batch: int = 1, published: int | None = None, names: bool = False, **config: int
) -> Golden:
    pixels = Input(
        "pixels", "f32", (batch, config.get("channels", 3), config["image"], config["image"]), {"key": f"input:{name}"}
    )
    return Golden(
        name, "specs/vision/vit.tw", "ViT", preset, config,
        lambda: models.vit(**config), "torchvision",
        (Call("call", (pixels,), (WHOLE,)),), run_plain, published, names=names,
    )  # fmt: skip


def vit_digits_trained() -> Golden:
    held_out = Input("pixels", "f32", (360, 1, 8, 8), {"file": str(DIGITS / "held_out.npz"), "array": "pixels"})
    return Golden(
        "vit_digits", "specs/vision/vit.tw", "ViT", "digits", DIGITS_CONFIG,
        lambda: models.vit(**DIGITS_CONFIG), "torchvision",
        (Call("call", (held_out,), (WHOLE,)),), run_plain,
        trained=str(DIGITS / "weights.safetensors"), names=True,
    )  # fmt: skip


def resnet(
    name: str, preset: str, batch: int, size: int, published: int | None = None, names: bool = False, **config: Any
) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, size, size), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/resnet.tw", "ResNet", preset, config,
        lambda: models.resnet(**config), "",
        (Call("call", (pixels,), (WHOLE,)),), run_plain, published, names=names,
    )  # fmt: skip


def mobilenet_v2(name: str, batch: int, size: int, names: bool = False) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, size, size), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/mobilenet_v2.tw", "MobileNetV2", "", {},
        models.mobilenet_v2, "torchvision",
        (Call("call", (pixels,), (WHOLE,)),), run_plain, 3_504_872, names=names,
    )  # fmt: skip


def shufflenet_v2(
    name: str, preset: str, batch: int, size: int, published: int | None = None, gain: float = 1.0, **config: Any
) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, size, size), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/shufflenet_v2.tw", "ShuffleNetV2", preset, config,
        lambda: models.shufflenet_v2(**config), "torchvision",
        (Call("call", (pixels,), (WHOLE,)),), run_plain, published, gain=gain, names=preset == "tiny",
    )  # fmt: skip


def efficientnet(
    name: str, preset: str, batch: int, published: int | None = None, gain: float = 1.6, **config: Any
) -> Golden:
    pixels = Input("pixels", "f32", (batch, 3, config["image"], config["image"]), {"key": f"input:{name}"})
    return Golden(
        name, "specs/vision/efficientnet.tw", "EfficientNet", preset, config,
        lambda: models.efficient(config["width"], config["depth"], config["classes"]), "torchvision",
        (Call("call", (pixels,), (WHOLE,)),), run_plain, published, gain=gain, names=preset == "tiny",
    )  # fmt: skip


def gpt2(
    name: str, preset: str, calls: tuple[Call, ...], published: int | None = None, names: bool = False, **config: int
) -> Golden:
    return Golden(
        name, "specs/language/gpt2.tw", "GPT2", preset, config,
        lambda: models.gpt2(**config), "transformers", calls, run_decoder, published, names=names,
    )  # fmt: skip


def llama(
    name: str, preset: str, calls: tuple[Call, ...], published: int | None = None, **config: int
) -> Golden:
    return Golden(
        name, "specs/language/llama.tw", "Llama", preset, config,
        lambda: models.llama(**config), "transformers", calls, run_decoder, published,
        names=preset == "tiny",
    )  # fmt: skip


def bert(
    name: str, preset: str, batch: int, length: int, stored: tuple[Stored, ...], published: int | None = None,
    **config: int,
) -> Golden:  # fmt: skip
    inputs = tuple(
        Input(input, "i64", (batch, length), {"key": f"input:{name}:{input}", "vocabulary": vocabulary})
        for input, vocabulary in [("tokens", config["vocab"]), ("kinds", 2), ("mask", 2)]
    )
    return Golden(
        name, "specs/language/bert.tw", "BERT", preset, config,
        lambda: models.bert(**config), "transformers", (Call("call", inputs, stored),), run_bert, published,
        names=preset == "tiny",
    )  # fmt: skip


def mamba(name: str, preset: str, batch: int, pieces: tuple[int, int], every: int = 1, **config: int) -> Golden:
    """Two pieces of a sequence, then three tokens of it, one at a time."""

    def call(number: int, entry: str, shape: tuple[int, ...]) -> Call:
        tokens = Input("tokens", "i64", shape, {"key": f"input:{name}:{number}", "vocabulary": config["vocab"]})
        axis = len(shape)
        spread = (Slice(axis, 0, config["vocab"], every),) if every > 1 else ()
        return Call(entry, (tokens,), (Stored(f"logits_{number}", "logits", spread),))

    sequence = tuple(call(i, "call", (batch, length)) for i, length in enumerate(pieces))
    steps = tuple(call(2 + i, "step", (batch,)) for i in range(3))
    return Golden(
        name, "specs/ssm/mamba.tw", "Mamba", preset, config,
        lambda: models.mamba(**config), "transformers", sequence + steps, run_mamba,
        names=preset == "tiny",
    )  # fmt: skip


def denoiser(
    name: str, spec: str, model: str, preset: str, build: Callable[..., nn.Module], inputs: dict[str, tuple[int, ...]],
    published: int | None = None, **config: Any,
) -> Golden:  # fmt: skip
    given = tuple(Input(input, "f32", shape, {"key": f"input:{name}:{input}"}) for input, shape in inputs.items())
    return Golden(
        name, f"specs/diffusion/{spec}", model, preset, config, lambda: build(**config), "diffusers",
        (Call("call", given, (Stored("noise", "noise"),)),), run_denoiser, published, names=preset == "tiny",
    )  # fmt: skip


def prefill(key: str, batch: int, length: int, vocabulary: int, stored: tuple[Stored, ...]) -> Call:
    tokens = Input("tokens", "i64", (batch, length), {"key": key, "vocabulary": vocabulary})
    return Call("prefill", (tokens,), stored)


def decode(key: str, batch: int, vocabulary: int, at: int, stored: tuple[Stored, ...]) -> Call:
    token = Input("tokens", "i64", (batch, 1), {"key": f"{key}:{at}", "vocabulary": vocabulary})
    return Call("decode", (token, Input("at", "i64", (), {"value": at})), stored)


def lstm(
    name: str, preset: str, size: int, depth: int, length: int, every: int, published: int | None = None
) -> Golden:
    x = Input("x", "f32", (2, length, size), {"key": f"input:{name}"})
    start = (length - 1) % every
    steps = (Slice(1, start, length, every),) if every > 1 else ()
    stored = (Stored("output", "output", steps), Stored("h", "h"), Stored("c", "c"))
    return Golden(
        name, "specs/recurrent/lstm.tw", "LSTM", preset, {"input": size, "hidden": size, "depth": depth},
        lambda: models.lstm(size, size, depth), "torch",
        (Call("call", (x,), stored),), run_lstm, published, names=True,
    )  # fmt: skip


def layers() -> Golden:
    def call(entry: str, shapes: dict[str, tuple[int, ...]], outputs: str, **tokens: tuple[int, ...]) -> Call:
        given = [Input(name, "f32", shape, {"key": f"input:layers:{entry}:{name}"}) for name, shape in shapes.items()]
        given += [
            Input(name, "i64", shape, {"key": f"input:layers:{name}", "vocabulary": 2}) for name, shape in tokens.items()
        ]
        return Call(entry, tuple(given), tuple(Stored(f"{entry}_{output}", output) for output in outputs.split()))

    calls = (
        call("image", dict(x=(2, 4, 7, 10)), "up inner thirds whole"),
        call("volume", dict(x=(2, 2, 3, 4, 5)), "normed"),
        call("line", dict(x=(3, 6, 7)), "up normed row inner pool"),
        call("sequence", dict(x=(2, 5, 6)), "mlp gru h lstm hidden cell"),
        call("stacked", dict(x=(2, 5, 6)), "gru h lstm hidden cell"),
        call("attend", dict(x=(2, 4, 6), y=(2, 5, 6)), "own causal across", seen=(2, 5)),
    )
    return Golden(
        "layers", "tests/specs/layers.tw", "Layers", "", {}, models.Layers, "", calls, run_layers, names=True
    )


LAYERS = ["image", "volume", "line", "sequence", "stacked", "attend"]
VIT = dict(image=224, classes=1000)
DIGITS_CONFIG = dict(image=8, patch=2, dim=64, depth=4, heads=4, classes=10, channels=1)
SHUFFLENET = dict(widths=[116, 232, 464], repeats=[4, 8, 4], top=1024, classes=1000)
VOCABULARY = 50257
LLAMA = dict(dim=2048, hidden=5632, depth=22, heads=32, groups=4, vocab=32000, context=2048)
LLAMA_TINY = dict(dim=64, hidden=96, depth=2, heads=4, groups=2, vocab=256, context=32)
DDPM = dict(channels=[128, 256, 256, 256], layers=2, attend=[False, True, False, False], image=3)
DDPM_TINY = dict(channels=[64, 64, 128], layers=1, attend=[False, True, False], image=3)
UNET_TINY = dict(channels=[64, 64, 128], layers=1, attend=[True, True, False], heads=4, context=24, latent=4)
SPREAD = Slice(2, 0, VOCABULARY, 101)  # a sample of the vocabulary, and its end where a last tile would be short
END = Slice(2, VOCABULARY - 65, VOCABULARY)
GPT2 = dict(dim=768, depth=12, heads=12, vocab=VOCABULARY, context=1024)
GPT2_TINY = dict(dim=64, depth=2, heads=4, vocab=256, context=32)

BERT = dict(dim=768, depth=12, heads=12, vocab=30522, context=512)
BERT_TINY = dict(dim=64, depth=2, heads=4, vocab=256, context=32)


def spread(call: int | str = "") -> tuple[Stored, ...]:
    suffix = f"_{call}" if call else ""
    return (Stored(f"logits{suffix}", "logits", (SPREAD,)), Stored(f"logits_end{suffix}", "logits", (END,)))


def goldens() -> list[Golden]:
    return [
        vit("vit_b16", "b16", published=86_567_656, names=True, **VIT, patch=16, dim=768, depth=12, heads=12),
        vit("vit_b32", "b32", published=88_224_232, **VIT, patch=32, dim=768, depth=12, heads=12),
        vit("vit_l16", "l16", published=304_326_632, **VIT, patch=16, dim=1024, depth=24, heads=16),
        vit("vit_tiny", "tiny", batch=2, names=True, image=32, patch=8, dim=48, depth=2, heads=3, classes=10),
        vit("vit_digits_generated", "digits", batch=3, **DIGITS_CONFIG),
        vit_digits_trained(),
        resnet("resnet18", "18", 1, 224, 11_689_512, names=True, blocks=[2, 2, 2, 2], bottleneck=False),
        resnet("resnet18_64", "18", 2, 64, 11_689_512, blocks=[2, 2, 2, 2], bottleneck=False),
        resnet("resnet50", "50", 1, 224, 25_557_032, names=True, blocks=[3, 4, 6, 3], bottleneck=True),
        resnet("resnet50_64", "50", 2, 64, 25_557_032, blocks=[3, 4, 6, 3], bottleneck=True),
        mobilenet_v2("mobilenet_v2", 1, 224, names=True),
        mobilenet_v2("mobilenet_v2_64", 2, 64),
        shufflenet_v2("shufflenet_v2", "x10", 1, 224, 2_278_604, gain=1.2, **SHUFFLENET),
        shufflenet_v2("shufflenet_v2_tiny", "tiny", 2, 48, widths=[16, 24, 32], repeats=[2, 3, 1], top=48, classes=10),
        efficientnet(
            "efficientnet_b0", "b0", 1, 5_288_548, gain=1.55, width=1.0, depth=1.0, image=224, classes=1000
        ),
        efficientnet("efficientnet_tiny", "tiny", 2, width=0.25, depth=0.5, image=64, classes=10),
        gpt2(
            "gpt2_prefill", "small",
            (prefill("input:gpt2_prefill", 1, 16, VOCABULARY, spread()),),
            124_439_808, names=True, **GPT2,
        ),
        gpt2(
            "gpt2_decode", "small",
            (prefill("input:gpt2_prefill", 1, 16, VOCABULARY, ()),)
            + tuple(decode("input:gpt2_decode", 1, VOCABULARY, at, spread(at)) for at in range(16, 20)),
            124_439_808, **GPT2,
        ),
        gpt2(
            "gpt2_tiny", "tiny",
            (prefill("input:gpt2_tiny", 2, 12, 256, (WHOLE,)),),
            names=True, **GPT2_TINY,
        ),
        gpt2(
            "gpt2_tiny_decode", "tiny",
            (prefill("input:gpt2_tiny", 2, 12, 256, ()),)
            + tuple(
                decode("input:gpt2_tiny_decode", 2, 256, at, (Stored(f"logits_{at}", "logits"),))
                for at in range(12, 16)
            ),
            **GPT2_TINY,
        ),
        bert(
            "bert_base", "base", 1, 128,
            (Stored("hidden", "hidden", (Slice(1, 0, 128, 31),)), Stored("pooled", "pooled")),
            109_482_240, **BERT,
        ),
        bert(
            "bert_tiny", "tiny", 2, 12,
            (Stored("hidden", "hidden"), Stored("pooled", "pooled")), **BERT_TINY,
        ),
        llama(
            "llama_1b", "1b",
            (
                prefill("input:llama_1b", 1, 16, 32000, (Stored("logits", "logits", (Slice(2, 0, 32000, 101),)),)),
                decode("input:llama_1b", 1, 32000, 16, (Stored("logits_16", "logits", (Slice(2, 0, 32000, 31),)),)),
            ),
            1_100_048_384, **LLAMA,
        ),
        llama(
            "llama_tiny", "tiny",
            (prefill("input:llama_tiny", 2, 12, 256, (WHOLE,)),)
            + tuple(
                decode("input:llama_tiny", 2, 256, at, (Stored(f"logits_{at}", "logits"),)) for at in range(12, 16)
            ),
            **LLAMA_TINY,
        ),
        denoiser(
            "ddpm", "ddpm.tw", "DDPM", "cifar10", models.ddpm, dict(x=(1, 3, 32, 32), t=(1,)), 35_746_307, **DDPM
        ),
        denoiser("ddpm_tiny", "ddpm.tw", "DDPM", "tiny", models.ddpm, dict(x=(2, 3, 8, 16), t=(2,)), **DDPM_TINY),
        denoiser(
            "unet_tiny", "unet.tw", "UNet", "tiny", models.unet, dict(x=(2, 4, 8, 16), t=(2,), words=(2, 5, 24)),
            **UNET_TINY,
        ),
        mamba("mamba_block", "block", 1, (120, 8), 101, dim=768, depth=1, size=16, vocab=1000),
        mamba("mamba_tiny", "tiny", 2, (9, 2), dim=48, depth=2, size=8, vocab=128),
        lstm("lstm", "h512", 512, 1, 20, 6, 2_101_248),
        lstm("lstm_tiny", "tiny", 16, 2, 5, 1),
        layers(),
    ]  # fmt: skip
