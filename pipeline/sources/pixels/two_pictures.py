"""Two images of a thermal camera in one frame, one above or beside the other.

Some USB cameras send a grey image and below it the 16-bit counts of the same view. InfiRay P2 Pro, Topdon TC001 and
similar ones: 256x384 YUYV, whose lower 192 rows are kelvin times 64, two bytes per pixel, little endian.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from ...config import KelvinConfig, SideConfig
from ...core.frames import Pixels
from ..base import SourceHealth
from .samples import plane_rows
from .scene import SENSORS

KELVIN = KelvinConfig(scale=1 / 64)
"""Conversion of the counts to kelvin."""
_SIZES = frozenset({(256, 384), (256, 392), (384, 576), (640, 1024)})
"""Frame sizes, (width, height), of cameras that always send two images."""
_ROWS_BETWEEN = range(5)
_CORRELATED = 0.5
_SMALL, _FINE = (80, 60), 5  # size and high-pass sigma; halves of one image correlate by at most 0.43 in 460 scenes
_SAME, _LEAST = 0.6, 0.01  # correlation; share of the contrast


def size_of_one(width: int, height: int) -> tuple[int, int] | None:
    """(width, height) of each of two images in a frame of this size; None if no thermal sensor has that size."""
    if height > width and any((width, height // 2 - rows) in SENSORS for rows in _ROWS_BETWEEN):
        return width, height // 2
    return (width // 2, height) if width > 2 * height and (width // 2, height) in SENSORS else None


def shows_two(picture: npt.NDArray[Any]) -> bool:
    """Whether both halves of (H, W) show one scene, or the size is that of a camera which always sends two images.

    The size has to be one for which `size_of_one` returns a value.
    """
    height, width = picture.shape
    if (width, height) in _SIZES:
        return True
    halves = np.split(picture[: height // 2 * 2], 2) if height > width else np.split(picture, 2, axis=1)
    small = [cv2.resize(half.astype(np.float32), _SMALL, interpolation=cv2.INTER_AREA) for half in halves]
    inner = slice(2 * _FINE, -2 * _FINE)  # the blur makes the borders similar
    fine = [(half - cv2.GaussianBlur(half, (0, 0), _FINE))[inner, inner].reshape(-1) for half in small]
    enough = all(part.std() > _LEAST * half.std() for part, half in zip(fine, small, strict=True))
    return bool(enough and abs(np.corrcoef(fine)[0, 1]) > _SAME)


def may_have_counts(frame: av.VideoFrame, side: SideConfig) -> bool:
    """Whether a frame of this size may have counts below the image. False if a crop is set."""
    return side.crop is None and frame.height > frame.width and size_of_one(frame.width, frame.height) is not None


def warn_no_temperatures(health: SourceHealth, spec: str, side: SideConfig) -> None:
    """Warn once that a preset is set for frames without temperatures."""
    if side.preset is not None:
        line = f"{spec}: has no 16-bit temperatures below its image: preset {side.preset} changes nothing"
        health.warn("preset", line)


def counts_below(frame: av.VideoFrame, picture: Pixels, certain: bool) -> npt.NDArray[np.uint16] | None:
    """Counts of the lower half, (H / 2, W) uint16; None if the pixel format or a codec did not preserve them.

    Args:
        frame: the decoded frame.
        picture: (H / 2, W) uint8, the upper half in grey.
        certain: the format alone decides; else both halves have to show the same scene.
    """
    half = frame.height // 2
    if frame.format.name == "yuyv422":
        packed = plane_rows(frame)[half:, : 2 * frame.width]
        counts = np.ascontiguousarray(packed).view("<u2")
    elif frame.format.name in ("yuv422p", "yuvj422p") and frame.width % 2 == 0:
        low, u, v = (
            plane_rows(frame, number)[half:, :width].astype(np.uint16)
            for number, width in ((0, frame.width), (1, frame.width // 2), (2, frame.width // 2))
        )
        counts = low + 256 * np.stack([u, v], axis=2).reshape(low.shape)
    else:
        return None
    if certain:
        return counts
    flat = picture.std() == 0 or counts.std() == 0
    alike = 0.0 if flat else abs(float(np.corrcoef(picture.reshape(-1), counts.reshape(-1))[0, 1]))
    return counts if alike > _CORRELATED else None
