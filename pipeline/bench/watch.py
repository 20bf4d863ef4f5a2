"""Disturbances and resources of a measurement: other processes' share of the cores, page faults, memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from ...engines.host.devices import cores

BUSY = 0.1
"""Share of the cores used by other processes from which a measurement counts as disturbed. The kernel counts in steps
of 10 ms, so of a measurement of half a second less than this cannot be told."""
_WORKING = ("user", "nice", "system", "irq", "softirq", "steal")


class Watch:
    """Watches from its making to `seen`."""

    def __init__(self) -> None:
        self._started, self._own, self._all = time.perf_counter(), time.process_time(), _worked()
        self._faults = _faults()

    def seen(self) -> dict[str, Any]:
        """`others`: of the cores that this process may use, the share that others had, 0 to 1, time stolen by a
        hypervisor included; `busy`: whether that is too much; `cpu_s`: processor time of this process, all threads;
        `page_faults`: of this process, those without reading from disk.
        """
        wall = max(time.perf_counter() - self._started, 1e-9)
        own = time.process_time() - self._own
        others = (_worked() - self._all - own) / (wall * len(cores()))
        others = min(max(others, 0.0), 1.0)
        return {
            "others": round(others, 3),
            "busy": others >= BUSY,
            "cpu_s": round(own, 3),
            "page_faults": _faults() - self._faults,
        }


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB.

    Linux counts that of the parent process into `getrusage`, so there its own high-water mark is read.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def load_average() -> list[float]:
    """Runnable processes over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _worked() -> float:
    """Seconds that the cores of this process have worked for anyone, since the machine's start."""
    times = psutil.cpu_times(percpu=True)
    return sum(float(getattr(times[core], field, 0.0)) for core in cores() for field in _WORKING if core < len(times))


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
