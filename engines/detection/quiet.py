"""Ultralytics, imported so that it stays offline and quiet and leaves the process as it was."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from PIL import Image

_SETTINGS = {
    "YOLO_OFFLINE": "true",  # no update checks, telemetry or downloads
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
}


def ultralytics(module: str = "ultralytics") -> Any:
    """Ultralytics or one of its modules. Nothing is downloaded, reported or installed, now or later."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    image_open = Image.open
    with threads_kept():
        found = importlib.import_module(module)
    Image.open = image_open  # Ultralytics' own wants to install a HEIF reader for every file that is no image
    return found


@contextmanager
def threads_kept() -> Iterator[None]:
    """Undo what importing and starting Ultralytics does to the process: one thread for OpenCV and OpenMP, fewer for
    torch, and other print options for arrays."""
    import torch

    opencv, own, openmp = cv2.getNumThreads(), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    printing = np.get_printoptions()
    try:
        yield
    finally:
        cv2.setNumThreads(opencv)
        torch.set_num_threads(own)
        np.set_printoptions(**printing)
        if openmp is None:
            os.environ.pop("OMP_NUM_THREADS", None)
