"""What the machine's memory can do, and statistics of times that were taken in turns."""

from __future__ import annotations

import functools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

FEWEST_BYTES = 1 << 27  # fewer are passed over in too short a time
BYTES = 1 << 31  # where no work says how many: more than a last cache, even of a large machine
RESAMPLES = 4000


@functools.cache
def bandwidth(threads: int, n_bytes: int = BYTES) -> dict[str, float]:
    """Bytes per second of reading, and of copying, which reads half of the bytes and writes as many.

    Work is compared with what the machine does with as many bytes: some stay in the last cache from call to call.
    """
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    n_bytes = max(FEWEST_BYTES, min(n_bytes, most))
    shares = [np.ones(n_bytes // 4 // threads, np.float32) for _ in range(threads)]
    halves = [np.split(share[: len(share) // 2 * 2], 2) for share in shares]
    with ThreadPoolExecutor(threads) as pool:

        def seconds(work: list[tuple[object, ...]]) -> float:
            start = time.perf_counter()
            list(pool.map(lambda job: job[0](*job[1:]), work))  # type: ignore[operator]
            return time.perf_counter() - start

        copy = min(seconds([(np.copyto, b, a) for a, b in halves]) for _ in range(7))
        read = min(seconds([(np.max, share) for share in shares]) for _ in range(7))
    return {"copy": n_bytes / copy, "read": n_bytes / read}


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
