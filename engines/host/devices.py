"""The processor and the NVIDIA GPUs of this machine, asked without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def cpuinfo() -> dict[str, str]:
    """What Linux says of the last processor, by its own names; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def features() -> frozenset[str]:
    """Of the processor, as Linux names them, `avx512_bf16` for one; empty where it is not Linux."""
    return frozenset((cpuinfo().get("flags") or cpuinfo().get("Features") or "").split())


def cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@cache
def gpus() -> tuple[dict[str, str], ...]:
    """NVIDIA GPUs as the driver reports them: name, memory, driver, compute capability. Empty without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    fields = ("name", "memory.total", "driver_version", "compute_cap")
    try:
        answer = subprocess.run(
            [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return ()
    rows = (line.split(", ") for line in answer.stdout.strip().splitlines())
    return tuple(dict(zip(fields, row, strict=False)) for row in rows)
