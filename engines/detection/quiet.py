"""Imports Ultralytics offline, without output and without side effects on the process; restricts what it loads."""

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
    """Import Ultralytics or one of its modules, so that it never downloads, reports or installs anything.

    Overrides its environment variables. If the program imported Ultralytics before, use `guarded`.
    """
    os.environ.update(_SETTINGS)
    image_open = Image.open
    with threads_kept():
        imported = importlib.import_module(module)
    Image.open = image_open  # Ultralytics replaces it to install a HEIF reader for unknown files
    return imported


@contextmanager
def guarded() -> Iterator[None]:
    """Context in which Ultralytics unpickles only its own model classes, and evaluates, downloads and installs nothing.

    Also effective if it was imported before with other settings. Raises RuntimeError if this version of Ultralytics or
    torch does not support safe loading.
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
    raise RuntimeError("downloads are disabled")


def _as_given(file: Any, *arguments: Any, **named: Any) -> str:
    return str(file)


@contextmanager
def threads_kept() -> Iterator[None]:
    """Context that restores the settings of the process that Ultralytics changes on import and start: threads of
    OpenCV, OpenMP and torch, and the print options of numpy.
    """
    import torch

    opencv, torch_threads, openmp = cv2.getNumThreads(), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    printing = np.get_printoptions()
    try:
        yield
    finally:
        cv2.setNumThreads(opencv)
        torch.set_num_threads(torch_threads)
        np.set_printoptions(**printing)
        if openmp is None:
            os.environ.pop("OMP_NUM_THREADS", None)
