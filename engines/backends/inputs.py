"""The one check of an engine's input."""

from __future__ import annotations

import re
from numbers import Real

import numpy as np

from ..base import EngineError, Pixels
from ..warp import Shape, Warp

SMALLEST = 32
"""Least width and height in pixels: below it the windows of the physics see nothing but border."""
LARGEST = 8192
"""Most pixels in width or height of a file for other runtimes: tried. At twice that, maps stacked at full size would
pass 2^31 bytes."""


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Width and height of `WxH`, odd ones too. EngineError, which names the option, for anything else."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise EngineError(f"{option} {text}: give width and height in pixels, for example 640x480")
    width, height = int(match[1]), int(match[2])
    if not all(SMALLEST <= side <= LARGEST for side in (width, height)):
        raise EngineError(f"{option} {text}: give {SMALLEST} to {LARGEST} pixels for each side")
    return width, height


def check_pair(name: str, visible: Pixels, infrared: Pixels, warp: Warp | Pixels) -> Warp:
    """The warp of a pair, made where only a coverage is given.

    EngineError where an array is not what `FusionEngine.fuse` takes.
    """
    arrays = [("visible", visible), ("infrared", infrared)]
    if not isinstance(warp, Warp):
        arrays.append(("coverage", warp))
    for label, array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise EngineError(f"{name}: {label} is {kind}: give a uint8 array")
    if visible.ndim != 3 or visible.shape[2] != 3:
        raise EngineError(f"{name}: visible has shape {visible.shape}: give (height, width, 3), RGB")
    if infrared.ndim != 2:
        raise EngineError(f"{name}: infrared has shape {infrared.shape}: give (height, width), grey")
    height, width = visible.shape[:2]
    check_size(name, width, height)
    if not isinstance(warp, Warp):
        for label, array in arrays[1:]:
            if array.shape != (height, width):
                raise EngineError(
                    f"{name}: {label} has shape {array.shape}, visible is {width}x{height}: "
                    f"register it onto the visible frame first, as ({height}, {width}), or give a Warp"
                )
        return Warp.registered(warp)
    shape = warp.shape
    if (shape.width, shape.height) != (width, height):
        raise EngineError(
            f"{name}: visible is {width}x{height}, the warp is for {shape.width}x{shape.height}: make one"
        )
    if infrared.shape != shape.infrared[::-1]:
        raise EngineError(
            f"{name}: infrared has shape {infrared.shape}, the warp is for {shape.infrared[0]}x{shape.infrared[1]}: "
            "make one for this size"
        )
    return warp


def check_shape(name: str, width: int, height: int, infrared: tuple[int, int] | None, reduce: int) -> Shape:
    """What `FusionEngine.prepare` takes; EngineError for frames that are too small."""
    check_size(name, width, height)
    shape = Shape.of(width, height, infrared, reduce)
    if reduce < 1 or min(shape.infrared) < reduce:
        raise EngineError(f"{name}: infrared of {shape.infrared[0]}x{shape.infrared[1]} cannot be reduced by {reduce}")
    return shape


def check_size(name: str, width: int, height: int) -> None:
    """EngineError for frames smaller than SMALLEST."""
    if height < SMALLEST or width < SMALLEST:
        raise EngineError(f"{name}: frame of {width}x{height}: give at least {SMALLEST}x{SMALLEST} pixels")


def strength(name: str, setting: str, value: object) -> float:
    """A `Strength` as the networks take it: 0 to 1, or -1 for `auto`. EngineError for anything else."""
    if value == "auto":
        return -1.0
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1:
        return float(value)
    raise EngineError(f"{name}: {setting} {value!r}: give a number from 0 to 1, or auto")
