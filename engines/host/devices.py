"""The CPU and the NVIDIA GPUs of this machine, without importing torch."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path


@cache
def cpuinfo() -> dict[str, str]:
    """The fields of /proc/cpuinfo for the last processor; empty on other systems than Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def features() -> frozenset[str]:
    """Instruction set extensions of the CPU by their Linux names, for example `avx512_bf16`; empty on other systems."""
    return frozenset((cpuinfo().get("flags") or cpuinfo().get("Features") or "").split())


def cores() -> list[int]:
    """Indices of the logical CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@cache
def gpus() -> tuple[dict[str, str], ...]:
    """NVIDIA GPUs as reported by nvidia-smi: name, memory, driver, compute capability. Empty without a driver."""
    fields = ("name", "memory.total", "driver_version", "compute_cap")
    try:
        result = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):  # also without this program
        return ()
    rows = (line.split(", ") for line in result.stdout.strip().splitlines())
    return tuple(dict(zip(fields, row, strict=False)) for row in rows)
