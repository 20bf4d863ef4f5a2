"""The one check of an engine's input."""

from __future__ import annotations

import numpy as np

from .base import EngineError, Pixels

SMALLEST = 32
"""Least width and height in pixels: below it the windows of the physics see nothing but border."""


def check_pair(name: str, visible: Pixels, infrared: Pixels, coverage: Pixels) -> tuple[int, int]:
    """Height and width of a registered pair; EngineError where an array is not what `FusionEngine.fuse` takes."""
    for label, array in (("visible", visible), ("infrared", infrared), ("coverage", coverage)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise EngineError(f"{name}: {label} is {kind}: give a uint8 array")
    if visible.ndim != 3 or visible.shape[2] != 3:
        raise EngineError(f"{name}: visible has shape {visible.shape}: give (height, width, 3), RGB")
    height, width = visible.shape[:2]
    check_size(name, width, height)
    for label, array in (("infrared", infrared), ("coverage", coverage)):
        if array.shape != (height, width):
            raise EngineError(
                f"{name}: {label} has shape {array.shape}, visible is {width}x{height}: "
                f"register it onto the visible frame first, as ({height}, {width})"
            )
    return height, width


def check_size(name: str, width: int, height: int) -> None:
    """EngineError for frames smaller than SMALLEST."""
    if height < SMALLEST or width < SMALLEST:
        raise EngineError(f"{name}: frame of {width}x{height}: give at least {SMALLEST}x{SMALLEST} pixels")


def strength(name: str, setting: str, value: object) -> float:
    """A `Strength` as the networks take it: 0 to 1, or -1 for `auto`. EngineError for anything else."""
    if value == "auto":
        return -1.0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise EngineError(f"{name}: {setting} {value!r}: give a number from 0 to 1, or auto")
