"""Infrared onto the visible camera's pixel grid, and the coverage that says where it is valid."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from ..calib.rig import Rig, RigError
from .frames import FramePair, Pixels, RegisteredPair

Size = tuple[int, int]
_Coordinates = npt.NDArray[np.int16]
_Fractions = npt.NDArray[np.uint16]

_CACHED = 4  # size pairs: the stream's own, the offset estimator's small one, and a size change to and fro


@dataclass(frozen=True, slots=True, eq=False)
class _Warp:
    """What one pair of image sizes needs: fixed-point maps (None: plain resizing) and the finished coverage.

    reduced: size to which infrared is area-averaged before remapping, None where it need not be.
    """

    coordinates: _Coordinates | None
    fractions: _Fractions | None
    reduced: Size | None
    coverage: Pixels


class Registrar:
    """Brings infrared frames onto the visible grid, by a rig's map or, without one, by resizing to the visible size.

    feather: width of the ramp of the coverage, as a fraction of the visible image's width, 0 for none.
    warnings: one line for each kind of trouble met.

    Maps are made at the first frame of each pair of sizes and kept. A rig that does not fit the first sizes raises
    RigError; sizes that stop fitting in mid-stream give frames without infrared, and a warning.
    """

    def __init__(self, rig: Rig | None, feather: float = 0.03) -> None:
        if not 0 <= feather <= 0.5:
            raise ValueError(f"feather is a fraction of the width, 0 to 0.5, not {feather}")
        self.warnings: list[str] = []
        self._rig = rig
        self._feather = feather
        self._warps: OrderedDict[tuple[Size, Size], _Warp | None] = OrderedDict()
        self._fitted = self._stretched = False
        self._blank: Pixels | None = None

    @property
    def has_rig(self) -> bool:
        """Whether infrared is truly registered, not just resized."""
        return self._rig is not None

    def register(self, pair: FramePair) -> RegisteredPair:
        """Register one pair. `coverage` is shared between pairs and read-only; `infrared` is fresh unless all zero.

        Without an infrared frame, or where the rig does not fit its size, infrared and coverage are 0 everywhere.
        """
        visible = pair.visible.pixels
        size = pair.visible.size
        warp = self._warp_for(size, pair.infrared.size) if pair.infrared is not None else None
        if pair.infrared is None or warp is None:
            blank = self._zeros(size)
            return RegisteredPair(pair, visible, blank, blank)
        return RegisteredPair(pair, visible, _apply(warp, pair.infrared.pixels, size), warp.coverage)

    def warp(self, infrared: Pixels, visible_size: Size) -> Pixels:
        """Infrared (h, w) uint8 on the visible grid of `visible_size` (width, height), replicated beyond its border.

        A small `visible_size` of the same aspect ratio gives small registered images at little cost.
        Raises RigError where the rig does not fit the sizes.
        """
        warp = self._warp_for(visible_size, (infrared.shape[1], infrared.shape[0]))
        if warp is None:
            raise RigError(self.warnings[-1])
        return _apply(warp, infrared, visible_size)

    def coverage(self, visible_size: Size, infrared_size: Size) -> Pixels:
        """(H, W) uint8, 255 where infrared of that size is valid; read-only. Raises RigError as `warp` does."""
        warp = self._warp_for(visible_size, infrared_size)
        if warp is None:
            raise RigError(self.warnings[-1])
        return warp.coverage

    def _warp_for(self, visible: Size, infrared: Size) -> _Warp | None:
        key = visible, infrared
        if key in self._warps:
            self._warps.move_to_end(key)
            return self._warps[key]
        try:
            warp = self._plain(visible, infrared) if self._rig is None else self._mapped(self._rig, visible, infrared)
            self._fitted = True
        except RigError as e:
            if not self._fitted:
                raise
            warp = None
            self._warn(f"{e}; frames of that size go on without infrared")
        self._warps[key] = warp
        if len(self._warps) > _CACHED:
            self._warps.popitem(last=False)
        return warp

    def _plain(self, visible: Size, infrared: Size) -> _Warp:
        if abs(infrared[0] - visible[0] * infrared[1] / visible[1]) > 0.02 * infrared[0] + 1 and not self._stretched:
            self._stretched = True
            self._warn(
                f"registration: infrared is {infrared[0]}x{infrared[1]}, visible {visible[0]}x{visible[1]}, "
                "another aspect ratio: infrared is stretched; give a rig file"
            )
        return _Warp(None, None, None, _read_only(np.full((visible[1], visible[0]), 255, np.uint8)))

    def _mapped(self, rig: Rig, visible: Size, infrared: Size) -> _Warp:
        map_x, map_y = rig.for_sizes(visible, infrared).map()
        coverage = _coverage(map_x, map_y, infrared, self._feather)
        if not coverage.any():
            self._warn("registration: by the rig the infrared camera sees nothing of the visible image; check the rig")
        # Bilinear sampling would alias where a visible pixel spans more than one infrared pixel: average them first.
        # Whole factors, because OpenCV averages those several times faster than fractions.
        factor = round(_infrared_step(map_x, map_y, coverage))
        reduced = None
        if factor >= 2:
            reduced = max(1, round(infrared[0] / factor)), max(1, round(infrared[1] / factor))
            for axis, grid in enumerate((map_x, map_y)):
                scale = reduced[axis] / infrared[axis]
                np.subtract((grid + 0.5) * scale, 0.5, out=grid)
        coordinates, fractions = cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)
        return _Warp(cast(_Coordinates, coordinates), cast(_Fractions, fractions), reduced, coverage)

    def _zeros(self, size: Size) -> Pixels:
        if self._blank is None or self._blank.shape != (size[1], size[0]):
            self._blank = _read_only(np.zeros((size[1], size[0]), np.uint8))
        return self._blank

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)


def _apply(warp: _Warp, infrared: Pixels, visible: Size) -> Pixels:
    if warp.coordinates is None or warp.fractions is None:
        shrinks = infrared.shape[1] > visible[0] or infrared.shape[0] > visible[1]
        return cast(
            Pixels, cv2.resize(infrared, visible, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        )
    if warp.reduced is not None:
        infrared = cast(Pixels, cv2.resize(infrared, warp.reduced, interpolation=cv2.INTER_AREA))
    fill = cv2.BORDER_REPLICATE
    return cast(Pixels, cv2.remap(infrared, warp.coordinates, warp.fractions, cv2.INTER_LINEAR, borderMode=fill))


def _coverage(map_x: npt.NDArray[np.float32], map_y: npt.NDArray[np.float32], infrared: Size, feather: float) -> Pixels:
    """255 inside, falling by smoothstep to 0 at the infrared image's own border, not at the visible frame's.

    The distance is to the nearest visible pixel without infrared, so a frame without such pixels has no ramp.
    """
    width, height = infrared
    # Half a pixel beyond the outer centres is still the outer pixel; the margin keeps an identity map whole.
    inside = (map_x > -0.51) & (map_x < width - 0.49) & (map_y > -0.51) & (map_y < height - 0.49)
    valid = inside.astype(np.uint8)
    ramp = feather * map_x.shape[1]
    if not valid.all() and ramp > 0:
        away = cv2.distanceTransform(valid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        s = np.clip(away / ramp, 0, 1)
        return _read_only((s * s * (3 - 2 * s) * 255 + 0.5).astype(np.uint8))
    return _read_only(valid * np.uint8(255))


def _infrared_step(map_x: npt.NDArray[np.float32], map_y: npt.NDArray[np.float32], coverage: Pixels) -> float:
    """How many infrared pixels one visible pixel spans, the median over the covered area; 1 where nothing is."""
    if min(map_x.shape) < 2:
        return 1.0
    seen = (coverage[1:, 1:] > 0) & (coverage[:-1, 1:] > 0) & (coverage[1:, :-1] > 0)
    if not seen.any():
        return 1.0
    xu, yu = np.diff(map_x[1:], axis=1)[seen], np.diff(map_y[1:], axis=1)[seen]
    xv, yv = np.diff(map_x[:, 1:], axis=0)[seen], np.diff(map_y[:, 1:], axis=0)[seen]
    return float(np.sqrt(np.median(np.abs(xu * yv - xv * yu))))


def _read_only(pixels: Pixels) -> Pixels:
    pixels.flags.writeable = False
    return pixels
