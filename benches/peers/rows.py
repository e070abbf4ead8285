"""What is timed: one entry of data per row of the table. No engine is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "peers"

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """A model of `tests/goldens/table.py` (`golden`) or of `specs/kernels.tw` (`kernel`), and the sizes it is timed at."""

    name: str
    title: str
    golden: str = ""
    kernel: str = ""
    entry: str = "call"
    shapes: Shapes = field(default_factory=dict)  # of inputs; otherwise the golden's, with a batch of one
    dims: dict[str, int] = field(default_factory=dict)  # the spec's symbolic sizes besides B
    sets: dict[str, int] = field(default_factory=dict)  # config, of kernels
    past: int = -1  # for one-token decoding: how many tokens came before
    tiny: str = ""  # the golden to try the row with, quickly

    @property
    def multiplies(self) -> bool:
        """Whether there is anything that a narrower type makes faster."""
        return self.kernel not in ("Elementwise", "Softmax", "Norm")

    @property
    def batched(self) -> bool:
        """Whether the size B can be left open."""
        return not self.kernel or self.kernel == "Attention"


def square(name: str, title: str, kernel: str, inputs: str, n: int = 4096) -> Row:
    """A pass over n×n numbers."""
    fixed, sets = ({"M": n}, {"n": n}) if kernel == "Norm" else ({"M": n, "N": n}, {})
    return Row(name, title, kernel=kernel, shapes={i: (n, n) for i in inputs.split()}, dims=fixed, sets=sets)


def matmul(n: int) -> Row:
    return Row(
        f"matmul-{n}", f"matmul {n}³", kernel="Matmul", shapes={"x": (n, n)}, dims={"M": n}, sets={"k": n, "n": n}
    )


def attention(n: int) -> Row:
    shapes = {name: (1, 12, n, 64) for name in "qkv"}
    return Row(
        f"attention-{n}", f"attention 12×{n}×64", kernel="Attention", shapes=shapes, dims={"H": 12, "N": n, "D": 64}
    )


IMAGE = {"H": 224, "W": 224}

ROWS = [
    Row("vit", "ViT-B/16 224²", golden="vit_b16", tiny="vit_tiny"),
    Row("bert", "BERT-base, 128 tokens", golden="bert_base", tiny="bert_tiny", dims={"N": 128}),
    Row(
        "gpt2-prefill", "GPT-2 124M prefill 128", golden="gpt2_prefill", tiny="gpt2_tiny", entry="prefill",
        shapes={"tokens": (1, 128)}, dims={"T": 128},
    ),
    Row(
        "gpt2-decode", "GPT-2 124M decode, 511 past", golden="gpt2_decode", tiny="gpt2_tiny_decode", entry="decode",
        dims={"T": 1}, past=511,
    ),
    Row(
        "llama-decode", "Llama-shaped 1.1B decode, 255 past", golden="llama_1b", tiny="llama_tiny", entry="decode",
        dims={"T": 1}, past=255,
    ),
    Row("resnet50", "ResNet-50", golden="resnet50", tiny="resnet18_64", dims=IMAGE),
    Row("mobilenet", "MobileNetV2", golden="mobilenet_v2", tiny="mobilenet_v2_64", dims=IMAGE),
    Row("efficientnet", "EfficientNet-B0", golden="efficientnet_b0", tiny="efficientnet_tiny"),
    Row("shufflenet", "ShuffleNetV2 1×", golden="shufflenet_v2", tiny="shufflenet_v2_tiny", dims=IMAGE),
    Row("ddpm", "DDPM UNet 32², base 128", golden="ddpm", tiny="ddpm_tiny", dims={"H": 32, "W": 32}),
    Row(
        "unet", "SD-1.5-shaped UNet, 64² latent", golden="unet_sd15", tiny="unet_tiny",
        dims={"H": 64, "W": 64, "L": 77},
    ),
    Row(
        "lstm", "LSTM 2×512, 128 steps", golden="lstm_2x512", tiny="lstm_tiny",
        shapes={"x": (1, 128, 512)}, dims={"T": 128},
    ),
    Row(
        "mamba", "Mamba block, 128 tokens", golden="mamba_block", tiny="mamba_tiny",
        shapes={"tokens": (1, 128)}, dims={"N": 128},
    ),
    matmul(1024),
    matmul(4096),
    square("elementwise", "gelu(x)·x + y on 4096²", "Elementwise", "x y"),
    square("softmax", "softmax on 4096²", "Softmax", "x"),
    square("layernorm", "layer norm on 4096²", "Norm", "x"),
    attention(2048),
    attention(8192),
]  # fmt: skip


def small(row: Row) -> Row:
    """The same row at a size that takes no time: to try the machinery, not to time anything."""
    if row.kernel:
        shapes = {name: tuple(min(size, 64) for size in shape) for name, shape in row.shapes.items()}
        cut = {name: min(size, 64) for name, size in row.dims.items()}
        return replace(row, shapes=shapes, dims=cut, sets={name: 64 for name in row.sets})
    return replace(row, golden=row.tiny, shapes={}, dims={"T": 1} if row.past >= 0 else {}, past=min(row.past, 12))


def chosen(words: list[str]) -> list[Row]:
    """The rows whose names begin with one of the words; all of them without words."""
    for word in words:
        if not any(row.name.startswith(word) for row in ROWS):
            raise SystemExit(f"no row is called `{word}`: there are {' '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not words or any(row.name.startswith(word) for word in words)]
