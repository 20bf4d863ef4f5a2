"""Trails: the paths of tracked objects."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from ..core.detections import Detection
from ..core.frames import Pixels
from .boxes import visible_part
from .ink import class_colour, line_width

LENGTH_S = 1.5
_FAINTEST, _STRONGEST = 0.1, 0.85
_FINE = 3  # bits of a pixel's fraction that OpenCV draws with

Point = tuple[int, float, float]
"""Time in ns, x and y as shares of the image's width and height."""


class Trails:
    """Draws the path of each object's foot point over the last 1.5 s, fading with age."""

    def __init__(self) -> None:
        self._points: dict[int, deque[Point]] = {}

    def draw(self, image: Pixels, detections: Sequence[Detection], time_ns: int) -> None:
        """Draw into `image`, (H, W, 3) uint8 RGB, and remember. time_ns: of the frame, which may be drawn into more
        than one picture."""
        height, width = image.shape[:2]
        for found in detections:
            if found.track is None or visible_part(found, image) is None:
                continue
            points = self._points.setdefault(found.track, deque())
            if not found.coasted and (not points or points[-1][0] != time_ns):
                points.append((time_ns, (found.box[0] + found.box[2]) / 2 / width, found.box[3] / height))
            while points and time_ns - points[0][0] > LENGTH_S * 1e9:
                points.popleft()
            if len(points) > 1:
                _draw_line(image, points, class_colour(found.label))
        oldest = time_ns - LENGTH_S * 1e9
        self._points = {number: points for number, points in self._points.items() if points and points[-1][0] >= oldest}


def _draw_line(image: Pixels, points: Sequence[Point], colour: tuple[int, int, int]) -> None:
    height, width = image.shape[:2]
    spots = np.array([(x * width, min(y, 1) * height) for _, x, y in points])
    line = 2 * line_width(image)
    x1, y1 = np.maximum(spots.min(axis=0).astype(int) - 2 * line, 0)
    x2, y2 = spots.max(axis=0).astype(int) + 2 * line + 1
    place = image[y1:y2, x1:x2]
    if place.size == 0:
        return
    strength = np.zeros(place.shape[:2], np.float32)
    corners = ((spots - (x1, y1)) * (1 << _FINE)).round().astype(int).tolist()
    shades = np.linspace(_FAINTEST, _STRONGEST, len(spots))
    for start, end, shade in zip(corners, corners[1:], shades[1:], strict=False):
        cv2.line(strength, start, end, float(shade), line, cv2.LINE_8, _FINE)
    soft = cv2.GaussianBlur(strength, (3, 3), 0)  # OpenCV draws soft edges on bytes alone
    place[:] = cv2.blendLinear(place, np.full_like(place, colour), 1 - soft, soft)
