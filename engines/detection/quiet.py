"""Ultralytics, imported so that it stays offline, quiet and safe, and leaves the process as it was."""

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
    """Ultralytics or one of its modules. Nothing is downloaded, reported or installed, now or later, whatever the
    environment says; where the program imported Ultralytics before, see `guarded`.
    """
    os.environ.update(_SETTINGS)
    image_open = Image.open
    with threads_kept():
        found = importlib.import_module(module)
    Image.open = image_open  # Ultralytics' own wants to install a HEIF reader for every file that is no image
    return found


@contextmanager
def guarded() -> Iterator[None]:
    """Within the block Ultralytics unpickles nothing but its own model classes, evaluates no text, downloads and
    installs nothing: also where it was imported before, and by whom and with which settings does not matter.

    Raises RuntimeError where this Ultralytics or torch cannot be held to that.
    """
    settings: dict[str, dict[str, Any]] = {
        "ultralytics.nn.tasks": {"SAFE_LOAD": True},
        "ultralytics.utils": {"SAFE_LOAD": True, "AUTOINSTALL": False, "ONLINE": False},
        "ultralytics.utils.checks": {"AUTOINSTALL": False, "ONLINE": False},
        "ultralytics.utils.downloads": {"safe_download": _refuse, "attempt_download_asset": _as_given},
    }
    modules = {name: ultralytics(name) for name in settings}
    if not getattr(getattr(modules["ultralytics.nn.tasks"], "_SafeLoad", None), "SUPPORTED", False):
        raise RuntimeError("this version of Ultralytics or torch has no safe loading; update them")
    before = {(name, key): getattr(modules[name], key) for name in settings for key in settings[name]}
    try:
        for name, key in before:
            setattr(modules[name], key, settings[name][key])
        yield
    finally:
        for (name, key), value in before.items():
            setattr(modules[name], key, value)


def _refuse(*arguments: Any, **named: Any) -> None:
    raise RuntimeError("nothing is downloaded")


def _as_given(file: Any, *arguments: Any, **named: Any) -> str:
    return str(file)


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
