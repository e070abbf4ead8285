"""A row's model in PyTorch with the weights that our spec gets, and what both are called with.

The architectures, the weights and the inputs are those of the goldens, by import.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rows import ROOT, Row

sys.path.insert(0, str(ROOT / "tests" / "goldens"))

import maps
import models
import table
import weights

from kernels import KERNELS

Arrays = dict[str, np.ndarray]

# Models that are timed, and too large or too much like others to be tested.
TIMED = [
    table.denoiser(
        "unet_sd15", "unet.tw", "UNet", "sd15", models.unet,
        dict(x=(1, 4, 64, 64), t=(1,), words=(1, 77, 768)),
        channels=[320, 640, 1280, 1280], layers=2, attend=[True, True, True, False], heads=8, context=768, latent=4,
    ),
    table.lstm("lstm_2x512", "h512x2", 512, 2, 128, 1),
]  # fmt: skip


@dataclass(frozen=True)
class Reference:
    module: nn.Module  # tensors in, a tuple of tensors out
    feeds: dict[str, Tensor]  # what the module and its exports get
    inputs: dict[str, Tensor]  # what our entry gets
    outputs: list[str]
    weights: Arrays  # by our names
    spec: str
    model: str
    preset: str


class Plain(nn.Module):
    """A golden's model and its way to be called, as tensors in and tensors out."""

    def __init__(self, model: nn.Module, run: Callable[..., Any], names: list[str]) -> None:
        super().__init__()
        self.model, self.run, self.names = model, run, names

    def forward(self, *feeds: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.run(self.model, [dict(zip(self.names, feeds, strict=True))])[0].values())


class Decoder(nn.Module):
    """One token after those whose keys and values are given; returns the logits and the token's own keys and values."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        from transformers import DynamicCache

        length = past[0].shape[2]
        cache = DynamicCache(ddp_cache_data=list(zip(past[::2], past[1::2], strict=True)))
        logits = self.model(input_ids=tokens, past_key_values=cache, use_cache=True).logits
        new = [part[:, :, length:] for layer in cache.layers for part in (layer.keys, layer.values)]
        return (logits, *new)


def reference(row: Row) -> Reference:
    with torch.no_grad():
        return of_kernel(row) if row.kernel else of_golden(row)


def of_kernel(row: Row) -> Reference:
    module = KERNELS[row.kernel](**row.sets).eval()
    values: Arrays = {}
    for name, tensor in module.named_parameters():
        values[name] = weights.weight(name, tuple(tensor.shape))
        tensor.copy_(torch.from_numpy(values[name]))
    feeds = {name: torch.from_numpy(weights.uniform(f"input:{name}", shape)) for name, shape in row.shapes.items()}
    spec = str(Path(__file__).with_name("specs").relative_to(ROOT) / "kernels.tw")
    return Reference(module, feeds, feeds, ["result"], values, spec, row.kernel, "")


def of_golden(row: Row) -> Reference:
    golden = next((golden for golden in [*table.goldens(), *TIMED] if golden.name == row.golden), None)
    if golden is None:
        raise LookupError(f"there is no golden called `{row.golden}` yet")
    model = golden.build().eval()
    values = filled(golden, model)
    fused(model)
    calls = [call for call in golden.calls if call.entry == row.entry]
    given = {i.name: sized(i, row).value() for i in calls[0].inputs}
    if row.past >= 0:
        module, feeds = decoder(model, given, row.past)
        given["at"], names = torch.tensor(row.past), ["logits"]
    else:
        module, feeds = Plain(model, golden.run, list(given)), given
        names = list(golden.run(model, [given])[0])
    return Reference(module, feeds, given, names, values, golden.spec, golden.model, golden.preset)


def sized(given: Any, row: Row) -> Any:
    """The golden's input with the row's shape, or with a batch of one."""
    shape = given.shape and (1, *given.shape[1:])
    return dataclasses.replace(given, shape=row.shapes.get(given.name, shape))


def filled(golden: Any, model: nn.Module) -> Arrays:
    """Gives the model the generated weights, and returns them by our names."""
    values: Arrays = {}

    def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
        values[name] = weights.weight(name, shape)
        return values[name]

    names = maps.members(ROOT / golden.spec, golden.map, list(models.tensors(model)))
    models.load(model, names, value)
    return values


def fused(model: nn.Module) -> None:
    """The goldens ask for attention in single steps; here PyTorch may use its fused one."""
    if getattr(model, "_supports_sdpa", False):
        model.set_attn_implementation("sdpa")


def decoder(model: Any, given: dict[str, Tensor], past: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """Keys and values of the past are zeros, as the state of a fresh session is."""
    config = model.config
    groups = getattr(config, "num_key_value_heads", config.num_attention_heads)
    shape = (1, groups, past, config.hidden_size // config.num_attention_heads)
    feeds = {"tokens": given["tokens"]}
    for layer in range(config.num_hidden_layers):
        feeds |= {f"key.{layer}": torch.full(shape, 0.0), f"value.{layer}": torch.full(shape, 0.0)}
    return Decoder(model), feeds
