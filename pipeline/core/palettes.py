"""Colour maps for infrared, as in thermal cameras."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .frames import Pixels
from .looks import Palette

_GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
_MAPS = {"inferno": cv2.COLORMAP_INFERNO, "magma": cv2.COLORMAP_MAGMA, "turbo": cv2.COLORMAP_TURBO}
_IRONBOW = ((0, 0, 0), (32, 0, 108), (130, 4, 150), (206, 40, 96), (240, 104, 14), (252, 190, 32), (255, 255, 240))


@lru_cache
def table(palette: Palette) -> Pixels:
    """(256, 3) uint8 RGB: the colour of each grey level, the hottest last."""
    if palette == "white-hot":
        return _GREY
    if palette == "black-hot":
        return _GREY[::-1]
    if palette == "ironbow":
        at = np.linspace(0, 255, len(_IRONBOW))
        channels = [np.interp(np.arange(256), at, channel) for channel in zip(*_IRONBOW, strict=True)]
        return np.stack(channels, axis=1).round().astype(np.uint8)
    return np.asarray(cv2.applyColorMap(_GREY[:, :1], _MAPS[palette])[:, 0, ::-1], np.uint8)


def coloured(infrared: Pixels, palette: Palette) -> Pixels:
    """(H, W, 3) uint8 RGB of (H, W) uint8."""
    grey = cv2.cvtColor(infrared, cv2.COLOR_GRAY2RGB)
    return np.asarray(grey if palette == "white-hot" else cv2.LUT(grey, table(palette)[None]), np.uint8)
