"""The views of a result: the fused image, or both cameras in another arrangement."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..core.frames import Pixels
from ..core.looks import Palette, View
from ..core.palettes import coloured
from ..core.result import Result

_EDGES = 1.5
"""Strength of the visible image's edges on infrared."""
_FINE = 3.0  # pixels, scale of the high-pass filter


def apply_view(result: Result, view: View, palette: Palette) -> Result:
    """The same result with another image; `side-by-side` is twice as wide, visible on the left.

    blend: the mean of both cameras. edges: infrared with the fine structure of the visible picture, as the MSX of
    thermal cameras. Both take visible without haze and darkness. Without infrared they show visible alone, and
    infrared is black.
    """
    if view == "fused":
        return result
    infrared, clear = thermal(result, palette), result.fused.restored
    if view == "side-by-side":
        image = np.hstack([visible(result), np.zeros_like(clear) if infrared is None else infrared])
    elif view == "visible":
        image = visible(result)
    elif view == "infrared":
        image = np.zeros_like(clear) if infrared is None else infrared
    elif infrared is None:
        image = clear
    elif view == "blend":
        image = np.asarray(cv2.addWeighted(clear, 0.5, infrared, 0.5, 0), np.uint8)
    else:
        luma = cv2.cvtColor(clear, cv2.COLOR_RGB2GRAY).astype(np.int16)
        fine = (luma - cv2.GaussianBlur(luma, (0, 0), _FINE)) * np.float32(_EDGES)
        image = np.clip(infrared + fine[..., None], 0, 255).astype(np.uint8)
    return replace(result, image=image)


def visible(result: Result) -> Pixels:
    """The visible frame, resized to the fused image."""
    return _fitted(result.pair.visible.pixels, result)


def thermal(result: Result, palette: Palette) -> Pixels | None:
    """Infrared on the visible grid, in colours; None where there is none."""
    if result.pair.infrared is None:
        return None
    return coloured(_fitted(result.fused.infrared, result), palette)


def panels(image: Pixels, result: Result) -> list[Pixels]:
    """Views (shared memory) of the parts of an image in which detections have the fused image's coordinates."""
    width = result.fused.image.shape[1]
    return [image[:, left : left + width] for left in range(0, image.shape[1], width)]


def _fitted(pixels: Pixels, result: Result) -> Pixels:
    height, width = result.fused.image.shape[:2]
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
