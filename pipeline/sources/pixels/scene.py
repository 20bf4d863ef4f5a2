"""Detects non-scene pixels of a stored frame: telemetry rows, borders and no-data values.

Rows outside the sensor's image are cut off. Pixels inside it are filled from their neighbours, so that the geometry
stays the same. The range of 16-bit infrared, haze, illumination and the networks then depend only on the scene.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ...core.frames import Pixels

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
_LEAST_SHARE = 5e-4
_LEAST_VALUES = 8
_NO_DATA = (0, 65535, -9999, -32768, 32767, -999)
_NEAR, _FAR = 0.25, 4.0
_MOST_INSIDE = 0.02
_LEVELS = 12
_RINGING = 6
_BLOCK = 9
_SHARP_SHARE = 0.6


def telemetry_rows(picture: Array) -> tuple[int, int]:
    """Number of telemetry rows of (H, W) at the top and at the bottom.

    They differ from the image next to them more than three times as much as any two neighbouring rows of the image. In
    8-bit frames that is not sufficient: there only rows beyond a sensor's height count.
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
    """Mask of no-data pixels, (H, W) bool, True where there is no data; None if all pixels are valid.

    NaN and infinity are no data. So is the lowest or highest value, if many pixels share it and one of these holds:

    - it forms a border around the rest;
    - it is a usual no-data value or fills the whole edge of the image, and its distance to all other values exceeds
      their spread (a quarter of it if it is a usual no-data value and the lowest of floats, since temperatures do not
      repeat exactly);
    - it is the lowest value of floats, at a distance of over four times the spread.

    Args:
        raw: (H, W) counts or temperatures, any integer or float type.
        scene: [low, high], values that are always valid.
    """
    missing: npt.NDArray[np.bool_] = np.zeros(raw.shape, bool) if raw.dtype.kind in "iu" else ~np.isfinite(raw)
    for end in (np.min, np.max):
        values = raw[~missing] if missing.any() else raw.reshape(-1)
        if values.size == 0:
            break
        value = end(values)
        same = raw == value
        if np.count_nonzero(same) < max(4, _LEAST_SHARE * raw.size):
            continue
        rest = values[values != value].astype(np.float64)
        if rest.size < values.size / 20:
            continue
        rest = rest[:: max(1, rest.size // 20_000)]
        if np.unique(rest).size < _LEAST_VALUES:  # not a sensor's image, which has noise
            continue
        low, high = np.percentile(rest, (0.5, 99.5))
        apart = np.abs(rest - float(value)).min()
        written = float(value) in _NO_DATA or abs(float(value)) > 1e30
        around = all(edge.all() for edge in (same[0], same[-1], same[:, 0], same[:, -1]))
        lowest = raw.dtype.kind == "f" and end is np.min
        factor = _NEAR if lowest and written else 1 if written or around else _FAR if lowest else np.inf
        if apart > factor * (high - low) or _is_border(same):
            missing |= same
    if scene is not None:
        missing &= ~((raw >= scene[0]) & (raw <= scene[1]))
    return missing if missing.any() else None


def _is_border(same: npt.NDArray[np.bool_]) -> bool:
    """Whether the mask is a straight border, or bars at two opposite sides, with hardly any pixel inside."""
    rows, columns = np.flatnonzero(~same.all(axis=1)), np.flatnonzero(~same.all(axis=0))
    if rows.size == 0:
        return False
    inside = same[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = same.shape
    bars = (rows[0] > 0 and rows[-1] < height - 1) or (columns[0] > 0 and columns[-1] < width - 1)
    return bool(bars and inside.size >= same.size / 4 and inside.mean() < _MOST_INSIDE)


def fill(picture: Array, missing: npt.NDArray[np.bool_]) -> Array:
    """(H, W) with missing pixels replaced by the nearest valid one; unchanged if none is valid."""
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
    """A border of one colour around the image.

    widths: (left, top, right, bottom) in pixels, kept while the border has that colour; None without a border.
    """

    def __init__(self) -> None:
        self.widths: tuple[int, int, int, int] | None = None
        self._colour: Array | None = None

    def without(self, pixels: Pixels) -> Pixels:
        """(H, W) or (H, W, 3) with the border, if there is one, filled from the image inside it."""
        if not self._unchanged(pixels):
            self.widths = self._find(pixels)
        if self.widths is None:
            return pixels
        left, top, right, bottom = self.widths
        inner = pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]
        filled = cv2.copyMakeBorder(np.ascontiguousarray(inner), top, bottom, left, right, cv2.BORDER_REPLICATE)
        return np.asarray(filled, np.uint8)

    def _unchanged(self, pixels: Pixels) -> bool:
        if self.widths is None or self._colour is None:
            return False
        left, top, right, bottom = self.widths
        if left + right >= pixels.shape[1] or top + bottom >= pixels.shape[0]:
            return False
        edges = [pixels[0]] * (top > 0) + [pixels[-1]] * (bottom > 0)
        edges += [pixels[:, 0]] * (left > 0) + [pixels[:, -1]] * (right > 0)
        return all(_plain(edge, self._colour) for edge in edges)

    def _find(self, pixels: Pixels) -> tuple[int, int, int, int] | None:
        """Find a border: two or four sides, straight and sharp, unlike an overexposed sky or a black night."""
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
    """Number of plain first rows, including those with ringing of the codec; None if the edge after them is not sharp
    over the whole length.
    """
    plain = np.mean(off <= _RINGING, axis=1) >= 0.98
    width = len(plain) if plain.all() else int(plain.argmin())
    if width in (0, len(plain)):
        return None if width else 0
    for more, line in enumerate(off[width : width + _BLOCK]):
        if np.mean(line > _LEVELS) >= _SHARP_SHARE:
            return width + more
    # next to noise-free black the edge of a night scene is sharp, too
    return width if not off[:width].any() and np.mean(off[width] > 1) >= _SHARP_SHARE else None
