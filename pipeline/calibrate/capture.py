"""Selects board views from the pairs of both cameras: all images of a folder, or new still poses of a video."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

from ...calib.board import Board, CalibrationError
from ...calib.find import Finder, Found
from ...calib.joint import View
from ...calib.pictures import ViewImages
from ..core.frames import Frame, FramePair, Pixels

_EXAMINED_S = 0.2  # between two examined frames of a video; a hand-held board needs longer to come to rest
_STILL = 0.0015  # of the image's diagonal between two examined frames: 1 px at 640x480, tremor of the hand
_NEW = 0.04  # of the image's diagonal from every view taken, on average over its points
_THUMBNAIL = 480  # width of the images kept for the report
_YELLOW, _GREEN = (255, 210, 0), (0, 220, 0)
KEPT_WITHOUT = 3  # pairs without a board that are kept, to find what they show instead


@dataclass(frozen=True, slots=True, eq=False)
class CapturedView:
    """A view and its thumbnails."""

    view: View
    sight: ViewImages


class Views:
    """Looks for the board in every pair of a session and keeps the views, `most` of them.

    stills: the pairs are separate images, each a view of its own; otherwise frames of a video or a live camera, of
    which those are taken where the board rests and shows something new.

    Attributes:
        found: where the board is in the newest picture of the visible camera that was looked at.
        seen: whether either camera ever showed the board.
        moving: number of moments skipped since the board moved.
        troubles: what was found instead of the board.
        without: some pairs that lack the board in a camera, grey.
    """

    def __init__(self, board: Board, stills: bool, most: int) -> None:
        self.most = most
        self.found: Found | None = None
        self.shots: list[CapturedView] = []
        self.sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
        self.seen, self.moving = False, 0
        self.troubles: Counter[str] = Counter()
        self.without: list[tuple[Pixels, Pixels | None]] = []
        self._board, self._stills = board, stills
        self._finders = Finder(board, thorough=stills), Finder(board)
        self._examined_ns: int | None = None
        self._before: list[Found | None] = []

    @property
    def full(self) -> bool:
        """Whether enough views were taken. Always False for separate images."""
        return not self._stills and len(self.shots) >= self.most

    def update(self, pair: FramePair) -> None:
        """Examine a pair and keep it if it is a new view."""
        if self._stills:
            self._take(pair, *(self._find(k, frame) for k, frame in enumerate((pair.visible, pair.infrared))))
            return
        if self._examined_ns is not None and pair.visible.time_ns - self._examined_ns < _EXAMINED_S * 1e9:
            return
        self._examined_ns = pair.visible.time_ns
        self.found = visible = self._find(0, pair.visible)
        self._before = [*self._before[-1:], visible]
        if visible is None:
            self._keep_without(pair)
        elif len(self._before) < 2 or self._distance(self._before[0], visible, pair.visible.size) > _STILL:
            self.moving += 1
        elif all(self._distance(shot.view.visible, visible, pair.visible.size) > _NEW for shot in self.shots):
            self._take(pair, visible, self._find(1, pair.infrared))

    def draw(self, visible: Pixels) -> Pixels:
        """A preview for the operator: the last board found (green), the area that the views cover (yellow)."""
        image, radius = visible.copy(), max(2, visible.shape[1] // 200)
        marks = [*((shot.view.visible, _YELLOW) for shot in self.shots), (self.found, _GREEN)]
        for found, colour in marks:
            for x, y in () if found is None else found.points:
                cv2.circle(image, (round(x), round(y)), radius, colour, -1)
        return image

    def _find(self, camera: int, frame: Frame | None) -> Found | None:
        if frame is None:
            return None
        finder = self._finders[camera]
        found = finder.find(_grey(frame.pixels))
        if found is None and finder.trouble is not None:
            self.troubles[finder.trouble] += 1
        return found

    def _take(self, pair: FramePair, visible: Found | None, infrared: Found | None) -> None:
        self.seen |= visible is not None or infrared is not None
        if visible is None or infrared is None:
            self._keep_without(pair)
        if pair.infrared is not None:
            sizes = pair.visible.size, pair.infrared.size
            if self.sizes is not None and self.sizes != sizes:
                raise CalibrationError(
                    f"{_name(pair)}: visible {_text(sizes[0])}, infrared {_text(sizes[1])}, but other views are "
                    f"{_text(self.sizes[0])} and {_text(self.sizes[1])}: give images of one size for each camera"
                )
            self.sizes = sizes
        if visible is None and infrared is None:
            self.shots.append(CapturedView(View(_name(pair), None, None), ViewImages(None, None)))
            return
        if not self._stills and infrared is None:
            return  # a later frame may show the board to infrared, too
        heat = None if pair.infrared is None else _small(pair.infrared.pixels)
        images = ViewImages(_small(pair.visible.pixels), heat)
        self.shots.append(CapturedView(View(_name(pair), visible, infrared), images))

    def _keep_without(self, pair: FramePair) -> None:
        if len(self.without) < KEPT_WITHOUT:
            heat = None if pair.infrared is None else pair.infrared.pixels
            self.without.append((_grey(pair.visible.pixels), heat))

    def _distance(self, one: Found | None, other: Found, size: tuple[int, int]) -> float:
        """Mean distance of equal points as a share of the diagonal, the least over the symmetries of the board."""
        if one is None:
            return float("inf")
        means = []
        for order in self._board.symmetries():
            _, k, m = np.intersect1d(order[one.ids], other.ids, return_indices=True)
            if k.size:
                means.append(float(np.linalg.norm(one.points[k] - other.points[m], axis=1).mean()))
        return min(means, default=float("inf")) / float(np.hypot(*size))


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8) if pixels.ndim == 3 else pixels


def _small(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if width <= _THUMBNAIL:
        return pixels.copy()
    size = _THUMBNAIL, max(1, round(height * _THUMBNAIL / width))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _name(pair: FramePair) -> str:
    return pair.visible.name or f"{pair.visible.time_ns / 1e9:.2f} s"
