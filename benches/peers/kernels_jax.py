"""The models of `specs/kernels.tw` in JAX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def function(kernel: str, weights: dict[str, Any]) -> Callable[..., Any]:
    """The kernel as a function of its inputs; its weights are constants."""

    def norm(x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        return centred * scale * weights["norm.weight"] + weights["norm.bias"]

    def attention(q: Any, k: Any, v: Any) -> Any:
        score = jnp.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])
        return jnp.einsum("bhij,bhjd->bhid", jax.nn.softmax(score), v)

    return {
        "Matmul": lambda x: x @ weights["w"],
        "Elementwise": lambda x, y: jax.nn.gelu(x, approximate=False) * x + y,
        "Softmax": jax.nn.softmax,
        "Norm": norm,
        "Attention": attention,
    }[kernel]
