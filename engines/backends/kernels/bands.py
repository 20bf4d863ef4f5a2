"""Bands of rows, shared between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from ...host import devices

BANDS_PER_THREAD = 4
"""Bands of a frame per thread: several, so that a thread that is interrupted processes fewer of them."""
MAX_BAND_ROWS = 64
"""Most rows of a band, so that the intermediate results of a band stay in the processor's cache."""


def in_bands(work: Callable[[int, int], None], rows: int) -> None:
    """Call `work(first, last)` for bands that together cover rows 0 to `rows` - 1, on all processors."""
    threads = _threads()
    count = max(-(-rows // MAX_BAND_ROWS), 1 if threads == 1 else min(rows, BANDS_PER_THREAD * threads))
    bands = iter([(rows * i // count, rows * (i + 1) // count) for i in range(count)])
    lock = threading.Lock()

    def process_bands() -> None:
        while True:
            with lock:
                band = next(bands, None)
            if band is None:
                return
            work(*band)

    others = [_pool().submit(process_bands) for _ in range(min(threads, count) - 1)]
    try:
        process_bands()
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _threads() -> int:
    return len(devices.cores())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _threads() - 1), thread_name_prefix="fusecam-rows")
