"""The reference models and the names their weights carry in our specs.

A member list pairs each of our names with the reference's. It must cover every parameter and running
statistic exactly once, so a name that goes missing on either side stops the script.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2
from torchvision.models import resnet as torchvision_resnet
from torchvision.models.vision_transformer import VisionTransformer
from transformers import GPT2Config, GPT2LMHeadModel

import weights


@dataclass(frozen=True)
class Member:
    """One weight: our name, the reference's, and whether the reference stores the matrix transposed."""

    ours: str
    theirs: str
    transposed: bool = False


def pairs(ours: str, theirs: str, leaves: str = "weight bias", transposed: bool = False) -> list[Member]:
    """The members of one layer; only the weight of a transposed layer is transposed."""
    return [Member(f"{ours}.{leaf}", f"{theirs}.{leaf}", transposed and leaf == "weight") for leaf in leaves.split()]


BATCH_NORM = "weight bias running_mean running_var"


# ---- vision/vit.tw


def vit(image: int, patch: int, dim: int, depth: int, heads: int, classes: int, channels: int = 3) -> nn.Module:
    model = VisionTransformer(image, patch, depth, heads, dim, 4 * dim, num_classes=classes)
    if channels != 3:  # torchvision's takes colour only
        model.conv_proj = nn.Conv2d(channels, dim, patch, patch)
    return model


def vit_members(depth: int) -> list[Member]:
    members = pairs("patches", "conv_proj")
    members += [Member("class", "class_token"), Member("position", "encoder.pos_embedding")]
    for i in range(depth):
        ours, theirs = f"blocks.{i}", f"encoder.layers.encoder_layer_{i}"
        members += pairs(f"{ours}.norm1", f"{theirs}.ln_1")
        members += [
            Member(f"{ours}.attn.qkv.{leaf}", f"{theirs}.self_attention.in_proj_{leaf}") for leaf in ("weight", "bias")
        ]
        members += pairs(f"{ours}.attn.proj", f"{theirs}.self_attention.out_proj")
        members += pairs(f"{ours}.norm2", f"{theirs}.ln_2")
        members += pairs(f"{ours}.fc1", f"{theirs}.mlp.0")
        members += pairs(f"{ours}.fc2", f"{theirs}.mlp.3")
    return members + pairs("norm", "encoder.ln") + pairs("head", "heads.head")


# ---- vision/resnet.tw


def resnet(blocks: list[int], bottleneck: bool, classes: int = 1000) -> nn.Module:
    block = torchvision_resnet.Bottleneck if bottleneck else torchvision_resnet.BasicBlock
    return torchvision_resnet.ResNet(block, blocks, num_classes=classes)


def resnet_members(blocks: list[int], bottleneck: bool) -> list[Member]:
    def conv_norm(conv: str, norm: str) -> list[Member]:
        return pairs(conv, conv, "weight") + pairs(norm, norm, BATCH_NORM)

    members = conv_norm("conv1", "bn1")
    for stage, count in enumerate(blocks, start=1):
        for i in range(count):
            path = f"layer{stage}.{i}"
            for k in range(1, 4 if bottleneck else 3):
                members += conv_norm(f"{path}.conv{k}", f"{path}.bn{k}")
            if i == 0 and (stage > 1 or bottleneck):
                members += conv_norm(f"{path}.downsample.0", f"{path}.downsample.1")
    return members + pairs("fc", "fc")


# ---- vision/mobilenet_v2.tw


def mobilenet_v2() -> nn.Module:
    return torchvision_mobilenet_v2()


def mobilenet_v2_members() -> list[Member]:
    def conv_norm(ours: str, conv: str, norm: str) -> list[Member]:
        return pairs(f"{ours}.conv", conv, "weight") + pairs(f"{ours}.norm", norm, BATCH_NORM)

    members = conv_norm("stem", "features.0.0", "features.0.1")
    for i in range(17):
        ours, theirs = f"blocks.{i}", f"features.{i + 1}.conv"
        depth = 0
        if i > 0:  # the first block does not widen
            members += conv_norm(f"{ours}.widen", f"{theirs}.0.0", f"{theirs}.0.1")
            depth = 1
        members += conv_norm(f"{ours}.depth", f"{theirs}.{depth}.0", f"{theirs}.{depth}.1")
        members += conv_norm(f"{ours}.project", f"{theirs}.{depth + 1}", f"{theirs}.{depth + 2}")
    return members + conv_norm("top", "features.18.0", "features.18.1") + pairs("head", "classifier.1")


# ---- language/gpt2.tw


def gpt2(dim: int, depth: int, heads: int, vocab: int, context: int) -> nn.Module:
    config = GPT2Config(
        vocab_size=vocab, n_positions=context, n_embd=dim, n_layer=depth, n_head=heads,
        attn_implementation="eager", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def gpt2_members(depth: int) -> list[Member]:
    """The head is `wte` again, so it has no name; the reference's Conv1D keeps its matrices as [in, out]."""
    members = [Member("wte.weight", "transformer.wte.weight"), Member("wpe.weight", "transformer.wpe.weight")]
    for i in range(depth):
        ours, theirs = f"h.{i}", f"transformer.h.{i}"
        members += pairs(f"{ours}.ln_1", f"{theirs}.ln_1")
        members += pairs(f"{ours}.attn.c_attn", f"{theirs}.attn.c_attn", transposed=True)
        members += pairs(f"{ours}.attn.c_proj", f"{theirs}.attn.c_proj", transposed=True)
        members += pairs(f"{ours}.ln_2", f"{theirs}.ln_2")
        members += pairs(f"{ours}.mlp.c_fc", f"{theirs}.mlp.c_fc", transposed=True)
        members += pairs(f"{ours}.mlp.c_proj", f"{theirs}.mlp.c_proj", transposed=True)
    return members + pairs("ln_f", "transformer.ln_f")


# ---- recurrent/lstm.tw


def lstm(input: int, hidden: int) -> nn.Module:
    return nn.LSTM(input, hidden, batch_first=True)


def lstm_members() -> list[Member]:
    return [Member(name, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]


# ---- loading


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter (a tied one once) and running statistic by the reference's name."""
    named = dict(model.named_parameters())
    named |= {
        name: b for name, b in model.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")
    }
    return named


def our_shape(member: Member, tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return shape[::-1] if member.transposed else shape


def fill(member: Member, tensor: torch.Tensor, values: np.ndarray) -> None:
    """Copies values of our layout into the reference's tensor, whatever its element type."""
    source = torch.from_numpy(np.ascontiguousarray(values))
    with torch.no_grad():
        tensor.copy_(source.T if member.transposed else source)


def load(model: nn.Module, members: list[Member], values: Callable[[str, tuple[int, ...]], np.ndarray]) -> None:
    """Gives every tensor of the model `values(our name, our shape)`."""
    named = tensors(model)
    theirs = [member.theirs for member in members]
    assert len(set(theirs)) == len(theirs) and len({m.ours for m in members}) == len(members), "a name occurs twice"
    assert set(theirs) == set(named), f"names differ: {set(theirs) ^ set(named)}"
    for member in members:
        tensor = named[member.theirs]
        fill(member, tensor, values(member.ours, our_shape(member, tensor)))


def generated(model: nn.Module, members: list[Member]) -> nn.Module:
    load(model, members, weights.weight)
    return model.eval()


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
