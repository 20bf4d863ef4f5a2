"""A frame of infrared alone, for as long as the visible camera is lost."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ...calib.rig import RigError
from ...engines.base import Fused
from ..core.frames import FramePair, Pixels
from .register import Registrar

_UNKNOWN = np.zeros((1, 1), np.uint8)


def fuse_infrared_only(pair: FramePair, registrar: Registrar, size: tuple[int, int]) -> tuple[FramePair, Fused]:
    """The substitute for a fused frame where `pair.led_by` is infrared.

    size: (width, height) of the visible frames before. The image is infrared on the visible grid, in grey; where the
    infrared camera does not look it fades to the mean of what it sees, so that nothing downstream meets a black border.
    Haze density and illumination, which only the visible camera shows, are 0. Where the rig does not fit the frame's
    size, it is scaled as it is.
    """
    infrared = pair.infrared
    if infrared is None:
        raise ValueError("a pair led by infrared holds an infrared frame")
    try:
        warp = registrar.warp(size, infrared.size)
        heat, coverage = warp.apply(infrared.pixels), warp.coverage
    except RigError:
        heat = np.asarray(cv2.resize(infrared.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        coverage = np.full(heat.shape, 255, np.uint8)
    image = np.asarray(cv2.cvtColor(_faded(heat, coverage), cv2.COLOR_GRAY2RGB), np.uint8)
    seen = replace(pair, visible=replace(pair.visible, pixels=image))
    return seen, Fused(image, image, _UNKNOWN, _UNKNOWN, heat)


def _faded(heat: Pixels, coverage: Pixels) -> Pixels:
    covered = coverage > 127
    if covered.all():
        return heat
    level = float(heat[covered].mean()) if covered.any() else float(heat.mean())
    weight = coverage.astype(np.float32) / 255
    return np.asarray(heat * weight + level * (1 - weight) + 0.5, np.float32).astype(np.uint8)
