"""Finds a calibration board in an image of either camera.

No single method finds every board: infrared sees it inverted or with squares that bloom into each other, fog and
poor heating leave little contrast, small images need enlarging, large ones shrinking. A finder tries a list of methods,
cheap ones first, beginning with the one that found the last board.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from . import grid
from .board import Board, CalibrationError, Indices, Points, real
from .grid import Grey

_LARGE, _SMALL = 900, 500  # width in pixels from which images are also tried at half, and below which at double size
_MIN_CHARUCO = 8  # corners: 6 determine the pose, the others verify it
_RELIABLE_SHARE = 0.6  # of the corners of a checkerboard, below which the image is not worth using
_SECTOR = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A board in an image. points: (n, 2) float64 pixels. ids: (n,) indices of the board's points."""

    points: Points
    ids: Indices


_Look = tuple[bool, bool, float, bool]
"""Of an image: inverted, contrast evened out, scale, smoothed."""
_Way = tuple[str, _Look]
"""Algorithm, and on what."""


class Finder:
    """Looks for `board` in the images of one camera.

    thorough: try every way, at most some seconds for an image without a board; else only those that take a fraction
    of a second, for video.
    """

    def __init__(self, board: Board, thorough: bool = True) -> None:
        self.board = board
        self.trouble: str | None = None
        self._thorough = thorough
        self._recent: list[_Way] = []
        self._charuco = _charuco_detectors(board) if board.pattern == "charuco" else []

    def find(self, grey: Grey) -> Found | None:
        """Find the board in `grey`, (H, W) uint8. If it returns None, `trouble` has the reason, if known."""
        self.trouble = None
        ways = _ways(self.board, grey.shape[1], self._thorough)
        ways.sort(key=lambda way: self._recent.index(way) if way in self._recent else len(self._recent))
        prepared: dict[_Look, Grey] = {}
        for way in ways:
            method, look = way
            if look not in prepared:
                prepared[look] = _prepared(grey, *look)
            found = self._look(method, prepared[look], grey, look[2])
            if found is not None:
                self.trouble = None
                self._recent = [way, *(w for w in self._recent if w != way)]
                return found
        return None

    def _look(self, method: str, prepared: Grey, grey: Grey, scale: float) -> Found | None:
        if method == "charuco":
            return self._look_charuco(prepared, scale)
        size = self.board.columns, self.board.rows
        there, places = _METHODS[method](prepared, size)
        if not there:
            return None
        points = (real(places).reshape(-1, 2) + 0.5) / scale - 0.5
        straight = grid.handed(points, *size)
        if self.board.pattern == "acircles" and not np.array_equal(straight, points):
            return None  # staggered rows cannot be read backwards: this is a mirror image, and no view of the board
        if self.board.pattern != "checkerboard":
            return Found(straight, np.arange(len(straight)))
        points, reliable = grid.refine(grey, straight, *size)
        self.trouble = grid.check(grey, points, *size)
        if self.trouble is None and len(reliable) < _RELIABLE_SHARE * len(points):
            self.trouble = "too few of its corners are clear"
        return Found(points[reliable], reliable) if self.trouble is None else None

    def _look_charuco(self, prepared: Grey, scale: float) -> Found | None:
        for detector in self._charuco:
            corners, ids, _, _ = detector.detectBoard(prepared)
            if ids is not None and len(ids) >= _MIN_CHARUCO:
                points = (corners.reshape(-1, 2).astype(np.float64) + 0.5) / scale - 0.5
                order = np.argsort(ids.ravel())
                numbers = ids.ravel()[order].astype(np.intp)
                if all(np.unique(line).size > 1 for line in np.divmod(numbers, self.board.columns)):  # not in one line
                    return Found(points[order], numbers)
        return None


def suggest_size(grey: Grey) -> tuple[int, int] | None:
    """Inner corners (columns, rows) of any checkerboard in the image, or None. Not 3x3, which scenes imitate."""
    for inverted in (False, True):
        image = 255 - grey if inverted else grey
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_LARGER
        ok, _, meta = cv2.findChessboardCornersSBWithMeta(image, (3, 3), flags)
        if ok and meta is not None and max(meta.shape[:2]) > 3:
            rows, columns = meta.shape[:2]
            return max(columns, rows), min(columns, rows)
    return None


def _ways(board: Board, width: int, thorough: bool) -> list[_Way]:
    """Methods to try, in order."""
    scales = [1.0] + ([0.5] if width >= _LARGE else []) + ([2.0] if width < _SMALL else [])

    def ways(*methods: str, even: bool = False, smooth: bool = False) -> list[_Way]:
        """At every scale each method, as it is and inverted."""
        return [(m, (inverted, even, s, smooth)) for s in scales for m in methods for inverted in (False, True)]

    if board.pattern == "charuco":
        return [("charuco", (False, even, s, False)) for even in (False, True) for s in scales]
    if board.pattern != "checkerboard":
        circles = ways(board.pattern) + ways(board.pattern, even=True)
        return circles if thorough else circles[:2]
    plain = ways("adaptive")
    quick = [*plain[:2], ("sector", (False, True, 0.5 if width >= _LARGE else 1.0, False))]
    if not thorough:
        return quick
    rest = [*plain, *ways("sector", smooth=True), *ways("sector", "adaptive", "global", even=True)]
    return list(dict.fromkeys([*quick, *rest]))


def _prepared(grey: Grey, inverted: bool, even: bool, scale: float, smooth: bool) -> Grey:
    image = 255 - grey if inverted else grey
    if even:
        image = np.asarray(cv2.createCLAHE(4.0, (8, 8)).apply(image), np.uint8)
    if smooth:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 400), np.uint8)
    if scale != 1:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    return image


_METHODS: dict[str, Callable[[Grey, tuple[int, int]], tuple[bool, Any]]] = {
    "sector": partial(cv2.findChessboardCornersSB, flags=_SECTOR),
    "adaptive": partial(cv2.findChessboardCorners, flags=cv2.CALIB_CB_ADAPTIVE_THRESH),
    "global": partial(cv2.findChessboardCorners, flags=0),
    "circles": partial(cv2.findCirclesGrid, flags=cv2.CALIB_CB_SYMMETRIC_GRID),
    "acircles": partial(cv2.findCirclesGrid, flags=cv2.CALIB_CB_ASYMMETRIC_GRID),
}
"""By name: whether the points of a board of (columns, rows) are there, and the points."""


def _charuco_detectors(board: Board) -> list[cv2.aruco.CharucoDetector]:
    """For the layout of OpenCV since 4.6, and for the older one, which differs where the number of rows is odd."""
    name = f"DICT_{board.dictionary.upper().removeprefix('DICT_')}"
    if not hasattr(cv2.aruco, name):
        raise CalibrationError(f"--dictionary {board.dictionary}: unknown; use one of OpenCV's, as 5X5_100 or 6X6_250")
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    detectors = []
    for legacy in (False, True):
        size = board.columns + 1, board.rows + 1
        layout = cv2.aruco.CharucoBoard(size, board.square, board.marker_side, dictionary)
        layout.setLegacyPattern(legacy)
        marker = cv2.aruco.DetectorParameters()
        marker.detectInvertedMarker = True
        detectors.append(cv2.aruco.CharucoDetector(layout, cv2.aruco.CharucoParameters(), marker))
    return detectors
