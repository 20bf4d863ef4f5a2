"""Finds the scene in a stored picture: rows of telemetry, borders and no-data values would distort its statistics.

They are cut off where they lie outside the sensor's picture, and filled from beside where they lie inside it, so that
nothing moves: the range of 16-bit infrared, haze, illumination and the networks then see the scene alone.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..core.frames import Pixels

Array = npt.NDArray[Any]

SENSORS = frozenset(
    {
        *((80, 60), (160, 120), (206, 156), (240, 180), (256, 192), (320, 240), (320, 256), (336, 256), (382, 288)),
        *((384, 288), (400, 300), (640, 480), (640, 512), (1024, 768), (1280, 1024)),
    }
)
"""Sizes of thermal sensors; rows beyond them are telemetry."""
_MOST_ROWS = 8
_JUMP = 3.0
_PART = 5e-4
_LEAST_VALUES = 8
_NO_DATA = (0, 65535, -9999, -32768, 32767, -999)
_NEAR, _FAR = 0.25, 4.0
_FEW_INSIDE = 0.02
_LEVELS = 12
_RINGING = 6
_BLOCK = 9
_SHARP = 0.6


def telemetry_rows(picture: Array) -> tuple[int, int]:
    """How many rows of (H, W) hold no thermal picture but a camera's state, at the top and at the bottom.

    They differ from the picture beside them by over three times what any two neighbouring rows of it do. Of 8-bit
    pictures, where that is no proof, only rows beyond a sensor's height count.
    """
    height, width = picture.shape
    if height < 4 * _MOST_ROWS:
        return 0, 0
    with np.errstate(invalid="ignore", over="ignore"):
        lines = picture[:, :: max(1, width // 160)].astype(np.float64)
        jumps = np.nan_to_num(np.median(np.abs(np.diff(lines, axis=0)), axis=1))
    slightest = 1.0 if picture.dtype.kind == "f" else 64.0 if picture.dtype.itemsize > 1 else 8.0
    least = max(_JUMP * float(jumps[_MOST_ROWS:-_MOST_ROWS].max()), slightest)
    above, below = np.flatnonzero(jumps[:_MOST_ROWS] > least), np.flatnonzero(jumps[-_MOST_ROWS:] > least)
    top = int(above[-1]) + 1 if above.size else 0
    bottom = _MOST_ROWS - int(below[0]) if below.size else 0
    if picture.dtype.itemsize == 1 and (width, height - top - bottom) not in SENSORS:
        return 0, 0
    return top, bottom


def no_data(raw: Array, scene: tuple[float, float] | None = None) -> npt.NDArray[np.bool_] | None:
    """Where (H, W) counts or temperatures are none; None where all are. scene: [low, high] that are some.

    NaN and infinity; and a lowest or highest value that many pixels share: if it is a frame around the rest; if it is
    one that is written for "nothing" or fills the picture's whole edge, and further from all others than these spread
    (a lowest one of floats than a quarter of it, since temperatures do not repeat exactly). Of floats any lowest value
    is that is four times as far.
    """
    none: npt.NDArray[np.bool_] = np.zeros(raw.shape, bool) if raw.dtype.kind in "iu" else ~np.isfinite(raw)
    for end in (np.min, np.max):
        values = raw[~none] if none.any() else raw.reshape(-1)
        if values.size == 0:
            break
        value = end(values)
        same = raw == value
        if np.count_nonzero(same) < max(4, _PART * raw.size):
            continue
        rest = values[values != value].astype(np.float64)
        if rest.size < values.size / 20:
            continue
        rest = rest[:: max(1, rest.size // 20_000)]
        if np.unique(rest).size < _LEAST_VALUES:  # no picture of a sensor, which has noise
            continue
        low, high = np.percentile(rest, (0.5, 99.5))
        apart = np.abs(rest - float(value)).min()
        written = float(value) in _NO_DATA or abs(float(value)) > 1e30
        around = all(edge.all() for edge in (same[0], same[-1], same[:, 0], same[:, -1]))
        coldest = raw.dtype.kind == "f" and end is np.min
        enough = _NEAR if coldest and written else 1 if written or around else _FAR if coldest else np.inf
        if apart > enough * (high - low) or _frames(same):
            none |= same
    if scene is not None:
        none &= ~((raw >= scene[0]) & (raw <= scene[1]))
    return none if none.any() else None


def _frames(same: npt.NDArray[np.bool_]) -> bool:
    """Whether this is a straight frame, or bars at two opposite sides, around a picture of which hardly any is so."""
    rows, columns = np.flatnonzero(~same.all(axis=1)), np.flatnonzero(~same.all(axis=0))
    if rows.size == 0:
        return False
    inside = same[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = same.shape
    bars = (rows[0] > 0 and rows[-1] < height - 1) or (columns[0] > 0 and columns[-1] < width - 1)
    return bool(bars and inside.size >= same.size / 4 and inside.mean() < _FEW_INSIDE)


def fill(picture: Array, missing: npt.NDArray[np.bool_]) -> Array:
    """(H, W) with what is missing taken from the nearest pixel that is not; unchanged where nothing is left."""
    if missing.all():
        return picture
    _, labels = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(labels.max()) + 1, np.intp)
    there = np.flatnonzero(~missing)
    nearest[labels.reshape(-1)[there]] = there
    filled: Array = picture.reshape(-1)[nearest[labels]]
    return filled


class Surround:
    """A frame of one colour around a picture, as (left, top, right, bottom) widths; kept while it stays that colour."""

    def __init__(self) -> None:
        self.widths: tuple[int, int, int, int] | None = None
        self._colour: Array | None = None

    def without(self, pixels: Pixels) -> Pixels:
        """(H, W) or (H, W, 3) with the frame, if there is one, filled from the picture inside it."""
        if not self._stands(pixels):
            self.widths = self._find(pixels)
        if self.widths is None:
            return pixels
        left, top, right, bottom = self.widths
        inner = pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]
        filled = cv2.copyMakeBorder(np.ascontiguousarray(inner), top, bottom, left, right, cv2.BORDER_REPLICATE)
        return np.asarray(filled, np.uint8)

    def _stands(self, pixels: Pixels) -> bool:
        if self.widths is None or self._colour is None:
            return False
        left, top, right, bottom = self.widths
        if left + right >= pixels.shape[1] or top + bottom >= pixels.shape[0]:
            return False
        edges = [pixels[0]] * (top > 0) + [pixels[-1]] * (bottom > 0)
        edges += [pixels[:, 0]] * (left > 0) + [pixels[:, -1]] * (right > 0)
        return all(_plain(edge, self._colour) for edge in edges)

    def _find(self, pixels: Pixels) -> tuple[int, int, int, int] | None:
        """Two opposite sides at least, straight and sharp all along: a blown-out sky or a black night is none."""
        colour = np.asarray(np.median(pixels[0], axis=0))
        if not (_plain(pixels[0], colour) and _plain(pixels[-1], colour)):
            colour = np.asarray(np.median(pixels[:, 0], axis=0))
            if not (_plain(pixels[:, 0], colour) and _plain(pixels[:, -1], colour)):
                return None
        self._colour = colour
        off = np.abs(pixels.astype(np.int16) - colour.astype(np.int16))
        off = off.max(axis=2) if off.ndim == 3 else off
        height, width = off.shape
        top, bottom = _side(off), _side(off[::-1])
        if top is None or bottom is None or top + bottom >= height:
            return None
        inside = off[top : height - bottom]
        left, right = _side(inside.T), _side(inside.T[::-1])
        if left is None or right is None or not ((top and bottom) or (left and right)):
            return None
        if (height - top - bottom) * (width - left - right) < off.size / 4:
            return None
        return left, top, right, bottom


def _plain(line: Array, colour: Array) -> bool:
    return bool(np.mean(np.abs(line.astype(np.int16) - colour.astype(np.int16)) <= _RINGING) >= 0.98)


def _side(off: Array) -> int | None:
    """How many of the first rows are plain, with those next to them in which a codec rings; None where what follows
    is not sharply another colour all along.
    """
    plain = np.mean(off <= _RINGING, axis=1) >= 0.98
    width = len(plain) if plain.all() else int(plain.argmin())
    if width in (0, len(plain)):
        return None if width else 0
    for more, line in enumerate(off[width : width + _BLOCK]):
        if np.mean(line > _LEVELS) >= _SHARP:
            return width + more
    # beside black without noise a night is sharp, too
    return width if not off[:width].any() and np.mean(off[width] > 1) >= _SHARP else None
