"""Calibration boards: their points, the points' coordinates, and the symmetries of each board."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .rig import RigError

Points = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Pattern = Literal["checkerboard", "charuco", "circles", "acircles"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
_UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254}
_MARKER_SHARE = 0.75  # of a square's side, as in most ChArUco generators


def real(values: object) -> Points:
    """What OpenCV returns, which may be of any type by its annotations, as float64."""
    return np.asarray(values, np.float64)


class CalibrationError(RigError):
    """A rig cannot be calibrated from what was given. One line: what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Board:
    """A flat calibration target.

    columns, rows: inner corners (checkerboard, charuco) or circles, as OpenCV counts them; for acircles, the
    asymmetric grid, `columns` circles in each of `rows` staggered rows. square: metres from a point to the next
    (acircles: half the distance of two circles in one row, as in OpenCV's samples). marker: side of ChArUco's markers
    in metres. dictionary: of those markers, as 5X5_100.
    """

    columns: int
    rows: int
    square: float
    pattern: Pattern = "checkerboard"
    marker: float | None = None
    dictionary: str = "5X5_100"

    @property
    def marker_side(self) -> float:
        """Of ChArUco's markers, in metres: as given, else three quarters of a square."""
        return self.marker if self.marker is not None else _MARKER_SHARE * self.square

    def __str__(self) -> str:
        name = {"circles": " circle grid", "acircles": " asymmetric circle grid", "charuco": " ChArUco board"}
        return f"{self.columns}x{self.rows}{name.get(self.pattern, ' board')}"

    def points(self) -> Points:
        """(N, 3) float64, metres, z = 0, row by row; x along the columns, y along the rows."""
        j, i = np.mgrid[0 : self.rows, 0 : self.columns].astype(np.float64)
        x, y = (2 * i + j % 2, j) if self.pattern == "acircles" else (i, j)
        return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) * self.square

    def symmetries(self) -> list[Indices]:
        """Orders of the points that the same image of the board allows; the plain order comes first.

        A grid turned by 180 degrees (a square one by 90) is the same grid. The colours of a checkerboard with an even
        and an odd side would tell, but an infrared camera may see them inverted, so they are not relied on.
        """
        plain = np.arange(self.columns * self.rows)
        if self.pattern == "charuco":
            return [plain]
        points = self.points()[:, :2]
        centred = points - (points.min(axis=0) + points.max(axis=0)) / 2
        orders = []
        for quarter in range(4):
            c, s = (1, 0, -1, 0)[quarter], (0, 1, 0, -1)[quarter]
            turned = centred @ np.array([[c, s], [-s, c]], np.float64)
            away = np.linalg.norm(turned[:, None] - centred[None], axis=2)
            if away.min(axis=1).max() < 1e-6 * self.square:
                orders.append(np.argmin(away, axis=1))
        return orders


def make_board(
    size: str, square: str, pattern: str = "checkerboard", marker: str | None = None, dictionary: str = "5X5_100"
) -> Board:
    """A board from what a person writes: `8x6`, `25mm`. Raises CalibrationError, naming the option."""
    if pattern not in PATTERNS:
        raise CalibrationError(f"--pattern {pattern}: unknown; use one of {', '.join(PATTERNS)}")
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", size)
    if match is None:
        raise CalibrationError(f"--board {size}: give inner corners (or circles) across and down, as 8x6")
    columns, rows = int(match[1]), int(match[2])
    if min(columns, rows) < 3 or max(columns, rows) > 100:
        raise CalibrationError(f"--board {size}: at least 3 and at most 100 inner corners each way")
    side = _metres("--square", square)
    marker_side = _metres("--marker", marker) if marker is not None else None
    if marker_side is not None and marker_side >= side:
        raise CalibrationError(f"--marker {marker}: a marker lies within a square, and squares are {square}")
    return Board(columns, rows, side, pattern, marker_side, dictionary)


def _metres(option: str, text: str) -> float:
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][-+]?\d+)?)\s*([a-z]+)\s*", text)
    try:
        value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    except (ValueError, KeyError):
        value = 0.0
    if not value > 0:
        raise CalibrationError(f"{option} {text}: give a length with its unit ({', '.join(_UNITS)}), as 25mm")
    if not 1e-4 <= value <= 10:
        raise CalibrationError(f"{option} {text}: give a length from 0.1mm to 10m; that of one square, as 25mm")
    return value
