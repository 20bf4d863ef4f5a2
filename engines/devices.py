"""The NVIDIA GPUs of this machine, asked of the driver without importing torch."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache


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
