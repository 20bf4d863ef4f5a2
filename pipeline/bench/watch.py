"""Disturbances and resources of a measurement: other processes' share of the cores, page faults, memory."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from ...engines.host.devices import cores

BUSY = 0.1
"""Share of the cores used by other processes from which a measurement counts as disturbed. The kernel counts in steps
of 10 ms, so a smaller share cannot be measured within half a second."""
_WORKING = ("user", "nice", "system", "irq", "softirq", "steal")


class Watch:
    """Measures from its creation to the call of `seen`."""

    def __init__(self) -> None:
        self._started, self._own, self._all = time.perf_counter(), time.process_time(), _worked()
        self._faults = _faults()

    def seen(self) -> dict[str, Any]:
        """Figures since the creation.

        Returns:
            `others`: share of this process's cores used by other processes, 0 to 1, including time stolen by a
            hypervisor. `busy`: whether that is BUSY or more. `cpu_s`: CPU time of this process in seconds, all threads.
            `page_faults`: number of minor page faults of this process.
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

    On Linux `getrusage` includes the peak of the parent process, so VmHWM is read instead.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _worked() -> float:
    """Busy time of this process's cores in seconds since boot, for all processes."""
    times = psutil.cpu_times(percpu=True)
    return sum(float(getattr(times[core], field, 0.0)) for core in cores() for field in _WORKING if core < len(times))


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
