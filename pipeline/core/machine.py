"""Description of this machine, for reports and `fusecam doctor`."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import psutil

from ...engines.host.devices import cores, cpuinfo, features, gpus

LIBRARIES = ("fusecam", "torch", "openvino", "nncf", "av", "opencv-python", "numpy", "ultralytics")
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "avx_vnni", "neon", "asimd", "bf16")


def version(package: str) -> str | None:
    """Installed version of a distribution, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu() -> dict[str, Any]:
    """Model name, cores that this process may use, and the vector features that matter to inference."""
    return {
        "model": cpuinfo().get("model name") or platform.processor() or platform.machine(),
        "cores": len(cores()),
        "features": [name for name in CPU_FEATURES if name in features()],
    }


def describe() -> dict[str, Any]:
    """Machine metadata for reports: processor, memory in GiB, GPUs, system and library versions."""
    return {
        "cpu": cpu(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": list(gpus()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def has_display() -> bool:
    """Whether a window can be opened."""
    if platform.system() != "Linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
