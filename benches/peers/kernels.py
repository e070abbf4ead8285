"""The models of `specs/kernels.tw` in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Matmul(nn.Module):
    def __init__(self, k: int, n: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(k, n))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


class Elementwise(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.gelu(x) * x + y


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, -1)


class Norm(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Attention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)


KERNELS: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (Matmul, Elementwise, Softmax, Norm, Attention)}
