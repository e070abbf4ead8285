"""The reference models, and how their weights get the values that ours have.

A weight map must cover every parameter and running statistic exactly once, so a name that goes missing on either
side stops the script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import nn
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2
from torchvision.models import efficientnet, shufflenetv2
from torchvision.models import resnet as torchvision_resnet
from torchvision.models.vision_transformer import VisionTransformer
from transformers import (
    BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM,
)  # fmt: skip

import weights
from maps import Member

# ---- vision


def vit(image: int, patch: int, dim: int, depth: int, heads: int, classes: int, channels: int = 3) -> nn.Module:
    model = VisionTransformer(image, patch, depth, heads, dim, 4 * dim, num_classes=classes)
    if channels != 3:  # torchvision's takes colour only
        model.conv_proj = nn.Conv2d(channels, dim, patch, patch)
    return model


def resnet(blocks: list[int], bottleneck: bool, classes: int = 1000) -> nn.Module:
    block = torchvision_resnet.Bottleneck if bottleneck else torchvision_resnet.BasicBlock
    return torchvision_resnet.ResNet(block, blocks, num_classes=classes)


def mobilenet_v2() -> nn.Module:
    return torchvision_mobilenet_v2()


def shufflenet_v2(widths: list[int], repeats: list[int], top: int, classes: int) -> nn.Module:
    return shufflenetv2.ShuffleNetV2(repeats, [24, *widths, top], classes)


def efficient(width: float, depth: float, classes: int) -> nn.Module:
    stages, last = efficientnet._efficientnet_conf("efficientnet_b0", width_mult=width, depth_mult=depth)
    return efficientnet.EfficientNet(stages, dropout=0.2, last_channel=last, num_classes=classes)


# ---- language


def gpt2(dim: int, depth: int, heads: int, vocab: int, context: int) -> nn.Module:
    config = GPT2Config(
        vocab_size=vocab, n_positions=context, n_embd=dim, n_layer=depth, n_head=heads,
        attn_implementation="eager", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def bert(dim: int, depth: int, heads: int, vocab: int, context: int) -> nn.Module:
    config = BertConfig(
        vocab_size=vocab, max_position_embeddings=context, hidden_size=dim, num_hidden_layers=depth,
        num_attention_heads=heads, intermediate_size=4 * dim, attn_implementation="eager",
    )  # fmt: skip
    return BertModel(config)


def llama(dim: int, hidden: int, depth: int, heads: int, groups: int, vocab: int, context: int) -> nn.Module:
    config = LlamaConfig(
        vocab_size=vocab, max_position_embeddings=context, hidden_size=dim, intermediate_size=hidden,
        num_hidden_layers=depth, num_attention_heads=heads, num_key_value_heads=groups, rms_norm_eps=1e-5,
        tie_word_embeddings=False, attn_implementation="eager", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def mamba(dim: int, depth: int, size: int, vocab: int) -> nn.Module:
    config = MambaConfig(
        vocab_size=vocab, hidden_size=dim, num_hidden_layers=depth, state_size=size, residual_in_fp32=False,
    )  # fmt: skip
    return MambaForCausalLM(config)


# ---- diffusion


def ddpm(channels: list[int], layers: int, attend: list[bool], image: int) -> nn.Module:
    return UNet2DModel(
        in_channels=image, out_channels=image, block_out_channels=channels, layers_per_block=layers,
        down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attend],
        up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in attend[::-1]],
        freq_shift=1, flip_sin_to_cos=False, downsample_padding=0, attention_head_dim=None, norm_eps=1e-6,
    )  # fmt: skip


def unet(channels: list[int], layers: int, attend: list[bool], heads: int, context: int, latent: int) -> nn.Module:
    return UNet2DConditionModel(
        in_channels=latent, out_channels=latent, block_out_channels=channels, layers_per_block=layers,
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attend],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attend[::-1]],
        attention_head_dim=heads, cross_attention_dim=context,
    )  # fmt: skip


# ---- recurrent


def lstm(input: int, hidden: int, depth: int) -> nn.Module:
    return nn.LSTM(input, hidden, depth, batch_first=True)


# ---- layers of the prelude


class Mlp(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = nn.functional.gelu(layer(x))
        return self.layers[-1](x)


class Layers(nn.Module):
    """The members of `tests/specs/layers.tw`; each of its entries is told by its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = Mlp(6, 8, 6)
        self.up1 = nn.ConvTranspose1d(6, 4, 3, stride=2, padding=1, groups=2, output_padding=1)
        self.up2 = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, dilation=2, bias=False)
        self.batch1, self.batch3 = nn.BatchNorm1d(6), nn.BatchNorm3d(2)
        self.inner1, self.inner2 = nn.InstanceNorm1d(6), nn.InstanceNorm2d(4, affine=True)
        self.gru, self.lstm = nn.GRU(6, 5, batch_first=True), nn.LSTM(6, 5, batch_first=True)
        self.grus = nn.GRU(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.lstms = nn.LSTM(6, 4, num_layers=3, bias=False, batch_first=True)
        self.look = nn.MultiheadAttention(6, 2, batch_first=True)
        self.decoder = nn.MultiheadAttention(6, 3, batch_first=True)

    def image(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        pool = nn.functional.adaptive_avg_pool2d
        return {"up": self.up2(x), "inner": self.inner2(x), "thirds": pool(x, 3), "whole": pool(x, 1)}

    def volume(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"normed": self.batch3(x)}

    def line(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "up": self.up1(x), "normed": self.batch1(x), "row": self.batch1(x[..., 0]), "inner": self.inner1(x),
            "pool": nn.functional.adaptive_avg_pool1d(x, 4),
        }  # fmt: skip

    def sequence(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        (gru, h), (lstm, (hidden, cell)) = self.gru(x), self.lstm(x)
        return {"mlp": self.mlp(x), "gru": gru, "h": h[0], "lstm": lstm, "hidden": hidden[0], "cell": cell[0]}

    def stacked(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        (gru, h), (lstm, (hidden, cell)) = self.grus(x), self.lstms(x)
        return {"gru": gru, "h": h, "lstm": lstm, "hidden": hidden, "cell": cell}

    def attend(self, x: torch.Tensor, y: torch.Tensor, seen: torch.Tensor) -> dict[str, torch.Tensor]:
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return {
            "own": self.look(x, x, x)[0], "causal": self.decoder(x, x, x, attn_mask=later)[0],
            "across": self.look(x, y, 2 * y, key_padding_mask=seen != 1)[0],
        }  # fmt: skip


# ---- loading


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter (a tied one once) and running statistic by the reference's name."""
    named = dict(model.named_parameters())
    named |= {
        name: b for name, b in model.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")
    }
    return named


def our_shape(member: Member, named: dict[str, torch.Tensor]) -> tuple[int, ...]:
    rows = sum(len(named[name]) for name in member.theirs)
    shape = (rows, *named[member.theirs[0]].shape[1:])
    return shape[::-1] if member.transposed else shape


def fill(member: Member, named: dict[str, torch.Tensor], values: np.ndarray) -> None:
    """Copies values of our layout into the reference's tensors, whatever their element type."""
    source = torch.from_numpy(np.ascontiguousarray(values))
    source = source.T if member.transposed else source
    theirs = [named[name] for name in member.theirs]
    with torch.no_grad():
        for tensor, part in zip(theirs, source.split([len(tensor) for tensor in theirs]), strict=True):
            tensor.copy_(part)


def load(model: nn.Module, members: list[Member], values: Callable[[str, tuple[int, ...]], np.ndarray]) -> None:
    """Gives every tensor of the model `values(our name, our shape)`."""
    named = tensors(model)
    theirs = [name for member in members for name in member.theirs]
    assert len(set(theirs)) == len(theirs) and len({m.ours for m in members}) == len(members), "a name occurs twice"
    assert set(theirs) == set(named), f"names differ: {set(theirs) ^ set(named)}"
    for member in members:
        fill(member, named, values(member.ours, our_shape(member, named)))


def generated(model: nn.Module, members: list[Member], gain: float) -> nn.Module:
    load(model, members, lambda name, shape: weights.weight(name, shape, gain=gain))
    return model.eval()


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
