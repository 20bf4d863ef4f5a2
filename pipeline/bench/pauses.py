"""Stalls of the machine itself, which add to the latency of every program on it."""

from __future__ import annotations

import os
import time
from typing import Any

SECONDS = 2.0
"""Looked at each core."""
MOST_CORES = 4
LEAST_MS = 1.0
"""Shortest gap counted: shorter ones are interrupts, and do not show in a frame's time."""


def measure_pauses(seconds: float = SECONDS) -> dict[str, Any]:
    """Read the clock without rest on one core after the other, at most MOST_CORES, and look for gaps.

    They are time in which others have the core: another process, the kernel, or, in a virtual machine, the host, which
    the guest's own count of stolen time does not always tell. No other thread of this process may run meanwhile.

    per_s: gaps of LEAST_MS or more per second and core. longest_ms: of them, 0 for none. share: of the time, in them.
    """
    gaps: list[float] = []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        for core in cores[:MOST_CORES]:
            os.sched_setaffinity(0, {core})
            gaps += _gaps_ms(seconds)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    if not cores:
        gaps = _gaps_ms(seconds)
    looked_s = seconds * max(1, len(cores[:MOST_CORES]))
    return {
        "per_s": round(len(gaps) / looked_s, 2),
        "longest_ms": round(max(gaps, default=0.0), 2),
        "share": round(sum(gaps) / 1e3 / looked_s, 4),
    }


def _gaps_ms(seconds: float) -> list[float]:
    gaps, least = [], round(LEAST_MS * 1e6)
    before = time.perf_counter_ns()
    end = before + round(seconds * 1e9)
    while before < end:
        now = time.perf_counter_ns()
        if now - before >= least:
            gaps.append((now - before) / 1e6)
        before = now
    return gaps
