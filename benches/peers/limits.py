"""What the machine's memory can do, and statistics of times that were taken in turns."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BYTES = 1 << 28  # far more than any cache
RESAMPLES = 4000


def bandwidth(threads: int) -> dict[str, float]:
    """Bytes per second of reading, and of copying (each byte counts once as read and once as written)."""
    shares = [np.ones(BYTES // 4 // threads, np.float32) for _ in range(threads)]
    targets = [np.ones_like(share) for share in shares]
    with ThreadPoolExecutor(threads) as pool:

        def seconds(work: list[tuple[object, ...]]) -> float:
            start = time.perf_counter()
            list(pool.map(lambda job: job[0](*job[1:]), work))  # type: ignore[operator]
            return time.perf_counter() - start

        copy = min(seconds([(np.copyto, b, a) for a, b in zip(shares, targets)]) for _ in range(7))
        read = min(seconds([(np.max, a) for a in shares]) for _ in range(7))
    return {"copy": 2 * BYTES / copy, "read": BYTES / read}


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Median of theirs over median of ours, and its 95 % interval: a bootstrap over the rounds, pairs kept together."""
    a, b = np.array(ours), np.array(theirs)
    picks = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    ratios = np.median(b[picks], axis=1) / np.median(a[picks], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(np.median(b) / np.median(a)), float(low), float(high)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """max|a − b| / max|b|; infinite where shapes differ or a number is missing."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())
