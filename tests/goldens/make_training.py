"""Ten optimizer steps of small models in PyTorch, in f64: `training.json` holds the losses and what the weights came to.

Weights and data are those of `weights.py`, so the file needs neither. `tests/specs/parity.rs` takes the same steps.
Run with the environment of `requirements.txt`: `python tests/goldens/make_training.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

import weights

N_STEPS = 10
Params = dict[str, torch.Tensor]
Data = dict[str, torch.Tensor]


class Weights:
    """Makes each parameter when it is first asked for, under the name that the spec gives it."""

    def __init__(self) -> None:
        self.params: Params = {}

    def __call__(self, name: str, *shape: int) -> torch.Tensor:
        if name not in self.params:
            values = torch.from_numpy(weights.weight(name, shape)).double()
            self.params[name] = values.requires_grad_()
        return self.params[name]

    def linear(self, x: torch.Tensor, name: str, to: int) -> torch.Tensor:
        return F.linear(x, self(f"{name}.weight", to, x.shape[-1]), self(f"{name}.bias", to))

    def conv(self, x: torch.Tensor, name: str, to: int, kernel: int, **how: int) -> torch.Tensor:
        return F.conv2d(x, self(f"{name}.weight", to, x.shape[1], kernel, kernel), **how)

    def layer_norm(self, x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        dim = x.shape[-1]
        return F.layer_norm(x, (dim,), self(f"{name}.weight", dim), self(f"{name}.bias", dim), eps)

    def batch_norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        dim = x.shape[1]
        return F.batch_norm(x, None, None, self(f"{name}.weight", dim), self(f"{name}.bias", dim), training=True)


def mlp(w: Weights, data: Data) -> torch.Tensor:
    x = torch.tanh(w.linear(data["x"], "fc1", 16))
    return F.mse_loss(w.linear(x, "fc2", 1)[:, 0], data["y"])


def vit(w: Weights, data: Data) -> torch.Tensor:
    x, (batch, dim, heads) = data["x"], (4, 16, 2)
    x = F.conv2d(x, w("net.patches.weight", dim, 1, 2, 2), w("net.patches.bias", dim), stride=2)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w("net.class", 1, 1, dim).expand(batch, -1, -1), x], 1) + w("net.position", 1, 17, dim)
    for idx in range(2):
        name = f"net.blocks.{idx}"
        qkv = w.linear(w.layer_norm(x, f"{name}.norm1", 1e-6), f"{name}.attn.qkv", 3 * dim)
        q, k, v = qkv.reshape(batch, 17, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2)) / (dim / heads) ** 0.5
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, 17, dim)
        x = x + w.linear(mixed, f"{name}.attn.proj", dim)
        hidden = F.gelu(w.linear(w.layer_norm(x, f"{name}.norm2", 1e-6), f"{name}.fc1", 4 * dim))
        x = x + w.linear(hidden, f"{name}.fc2", dim)
    logits = w.linear(w.layer_norm(x, "net.norm", 1e-6)[:, 0], "net.head", 10)
    return F.cross_entropy(logits, data["y"])


def resnet(w: Weights, data: Data) -> torch.Tensor:
    x = F.relu(w.batch_norm(w.conv(data["x"], "net.conv1", 64, 7, stride=2, padding=3), "net.bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, width in enumerate([64, 128, 256, 512], 1):
        for idx in range(1):
            name, stride = f"net.layer{layer}.{idx}", 2 if layer > 1 else 1
            y = F.relu(w.batch_norm(w.conv(x, f"{name}.conv1", width, 3, stride=stride, padding=1), f"{name}.bn1"))
            y = w.batch_norm(w.conv(y, f"{name}.conv2", width, 3, padding=1), f"{name}.bn2")
            if layer > 1:
                x = w.batch_norm(w.conv(x, f"{name}.downsample.0", width, 1, stride=stride), f"{name}.downsample.1")
            x = F.relu(y + x)
    return F.cross_entropy(w.linear(x.mean((2, 3)), "net.fc", 10), data["y"])


def lstm(w: Weights, data: Data) -> torch.Tensor:
    x = data["x"]
    for layer, wide in enumerate([8, 16]):
        name, hidden = f"net.layers.{layer}", 16
        h = c = torch.zeros(x.shape[0], hidden, dtype=x.dtype)
        outs = []
        for t in range(x.shape[1]):
            gates = F.linear(x[:, t], w(f"{name}.weight_ih", 64, wide), w(f"{name}.bias_ih", 64))
            gates = gates + F.linear(h, w(f"{name}.weight_hh", 64, hidden), w(f"{name}.bias_hh", 64))
            i, f, g, o = gates.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outs.append(h)
        x = torch.stack(outs, 1)
    return F.cross_entropy(w.linear(x[:, -1], "head", 4), data["y"])


def critic(w: Weights, data: Data) -> torch.Tensor:
    def score(x: torch.Tensor) -> torch.Tensor:
        return w.linear(F.silu(w.linear(x, "D.fc1", 16)), "D.fc2", 1)[:, 0]

    real, fake, t = data["x"], data["fake"], data["t"]
    between = (t * real + (1 - t) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    penalty = ((slope.norm(2, 1) - 1) ** 2).mean()
    return score(fake).mean() - score(real).mean() + 10 * penalty


Optimizer = Callable[[list[torch.Tensor]], torch.optim.Optimizer]

CASES: dict[str, tuple[Callable[[Weights, Data], torch.Tensor], dict[str, tuple[int, ...]], int, Optimizer]] = {
    "Mlp": (mlp, {"x": (4, 3), "y": (4,)}, 0, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "Vit": (vit, {"x": (4, 1, 8, 8), "y": (4,)}, 10, lambda p: torch.optim.Adam(p, lr=1e-3)),
    "Res": (resnet, {"x": (4, 3, 32, 32), "y": (4,)}, 10, lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9)),
    "Rec": (lstm, {"x": (3, 7, 8), "y": (3,)}, 4, lambda p: torch.optim.AdamW(p, lr=1e-2)),
    "Critic": (
        critic,
        {"x": (5, 6), "fake": (5, 6), "t": (5, 1)},
        0,
        lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.0, 0.9)),
    ),
}


def drawn(name: str, shape: tuple[int, ...], n_classes: int, step: int) -> torch.Tensor:
    if name == "y" and n_classes:
        return torch.from_numpy(weights.tokens(f"{name}.{step}", shape, n_classes))
    values = torch.from_numpy(weights.uniform(f"{name}.{step}", shape)).double()
    return (values + 1) / 2 if name == "t" else values


def run(name: str) -> dict[str, object]:
    loss_of, inputs, n_classes, optimizer_of = CASES[name]
    make = Weights()
    data = [{key: drawn(key, shape, n_classes, step) for key, shape in inputs.items()} for step in range(N_STEPS)]
    loss_of(make, data[0])
    optimizer = optimizer_of(list(make.params.values()))
    losses = []
    for step in range(N_STEPS):
        optimizer.zero_grad()
        loss = loss_of(make, data[step])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    sums = {key: [p.detach().sum().item(), p.detach().square().sum().item()] for key, p in make.params.items()}
    inputs_as_lists = {key: list(shape) for key, shape in inputs.items()}
    return {"inputs": inputs_as_lists, "classes": n_classes, "losses": losses, "params": sums}


if __name__ == "__main__":
    torch.manual_seed(0)
    path = Path(__file__).with_name("training.json")
    path.write_text(json.dumps({name: run(name) for name in CASES}, indent=1) + "\n")
