"""Registration: warps from infrared to the visible pixel grid, and the coverage where they are valid."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from ...calib.rig import EdgeRecord, Map, Rig, RigError
from ...engines.warp import Size, Warp
from ..core.frames import FramePair, Pixels

_CACHED = 4  # size pairs: the stream's own, the offset estimator's small one, and a size change to and fro


class Registrar:
    """Gives the warps of infrared frames to the visible grid: a rig's map or, without one, scaling to its size.

    feather: width of the ramp of the coverage, as a fraction of the visible image's width, 0 for none.
    pixel_aspect: of infrared's pixels over that of visible's.
    warnings: one line for each kind of trouble met.

    Warps are made at the first frame of each pair of sizes and kept; the engine applies them. A rig that does not fit
    the first sizes raises RigError; sizes that stop fitting in mid-stream give frames without infrared, and a warning.
    """

    def __init__(self, rig: Rig | None, feather: float = 0.03, pixel_aspect: float = 1.0) -> None:
        if not 0 <= feather <= 0.5:
            raise ValueError(f"feather is a fraction of the width, 0 to 0.5, not {feather}")
        self.warnings: list[str] = []
        self._rig = rig
        self._feather = feather
        self._pixel_aspect = pixel_aspect
        self._warps: OrderedDict[tuple[Size, Size], Warp | None] = OrderedDict()
        self._fitted = self._stretched = False
        self._blank: tuple[Pixels, Warp] | None = None

    @property
    def has_rig(self) -> bool:
        """Whether infrared is truly registered, not just resized."""
        return self._rig is not None

    def register(self, pair: FramePair) -> tuple[Pixels, Warp]:
        """The infrared frame of a pair and its warp, as `FusionEngine.fuse` takes them.

        Without an infrared frame, or where the rig does not fit its size, infrared and coverage are 0 everywhere, with
        the previous sizes, so that the engine keeps its graph.
        """
        size = pair.visible.size
        warp = self._warp_for(size, pair.infrared.size) if pair.infrared is not None else None
        return self._without(size) if pair.infrared is None or warp is None else (pair.infrared.pixels, warp)

    def warp(self, visible: Size, infrared: Size) -> Warp:
        """The warp for frames of these sizes, (width, height) each. Raises RigError where the rig does not fit them.

        `warp(small, infrared).apply(frame)` gives small registered images at little cost.
        """
        warp = self._warp_for(visible, infrared)
        if warp is None:
            raise RigError(self.warnings[-1])
        return warp

    def edges(self, visible: Size, infrared: Size) -> EdgeRecord | None:
        """The rig's edge record, for frames of these sizes. None if it has none."""
        rig = self.rig_for(visible, infrared)
        return None if rig is None else rig.edges

    def rig_for(self, visible: Size, infrared: Size) -> Rig | None:
        """The rig for frames of these sizes; None without one, or where it does not fit them."""
        try:
            return None if self._rig is None else self._rig.for_sizes(visible, infrared)
        except RigError:
            return None

    def _without(self, visible: Size) -> tuple[Pixels, Warp]:
        if self._blank is None or self._blank[1].shape[:2] != visible:
            fitting = [warp for (seen, _), warp in self._warps.items() if warp is not None and seen == visible]
            warp = fitting[-1] if fitting else Warp.registered(np.zeros((visible[1], visible[0]), np.uint8))
            self._blank = np.zeros(warp.infrared[::-1], np.uint8), warp.blank()
            self._blank[0].flags.writeable = False
        return self._blank

    def _warp_for(self, visible: Size, infrared: Size) -> Warp | None:
        key = visible, infrared
        if key in self._warps:
            self._warps.move_to_end(key)
            return self._warps[key]
        try:
            maps = self._plain(visible, infrared) if self._rig is None else self._mapped(self._rig, visible, infrared)
            warp = Warp.of(*maps, infrared, min(*infrared, _reduce(*maps)))
            self._fitted = True
        except RigError as e:
            if not self._fitted:
                raise
            warp = None
            self._warn(f"{e}; frames of that size go on without infrared")
        self._warps[key], self._blank = warp, None
        if len(self._warps) > _CACHED:
            self._warps.popitem(last=False)
        return warp

    def _plain(self, visible: Size, infrared: Size) -> tuple[Map, Map, Pixels]:
        width = infrared[0] * self._pixel_aspect
        if abs(width - visible[0] * infrared[1] / visible[1]) > 0.02 * width + 1 and not self._stretched:
            self._stretched = True
            self._warn(
                f"registration: infrared is {infrared[0]}x{infrared[1]}, visible {visible[0]}x{visible[1]}, "
                "another aspect ratio: infrared is stretched; give a rig file"
            )
        columns, rows = (
            ((np.arange(seen) + 0.5) * (felt / seen) - 0.5).astype(np.float32)
            for seen, felt in zip(visible, infrared, strict=True)
        )
        map_x, map_y = np.meshgrid(columns, rows)
        return map_x, map_y, np.full(map_x.shape, 255, np.uint8)

    def _mapped(self, rig: Rig, visible: Size, infrared: Size) -> tuple[Map, Map, Pixels]:
        map_x, map_y = rig.for_sizes(visible, infrared).map()
        return map_x, map_y, _coverage(map_x, map_y, infrared, self._feather)

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)


def _coverage(map_x: Map, map_y: Map, infrared: Size, feather: float) -> Pixels:
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
        return np.asarray(s * s * (3 - 2 * s) * 255 + 0.5, np.float32).astype(np.uint8)
    return valid * np.uint8(255)


def _reduce(map_x: Map, map_y: Map, coverage: Pixels) -> int:
    """How many infrared pixels one visible pixel spans, the median over the covered area; 1 where nothing is."""
    if min(map_x.shape) < 2:
        return 1
    seen = (coverage[1:, 1:] > 0) & (coverage[:-1, 1:] > 0) & (coverage[1:, :-1] > 0)
    if not seen.any():
        return 1
    xu, yu = np.diff(map_x[1:], axis=1)[seen], np.diff(map_y[1:], axis=1)[seen]
    xv, yv = np.diff(map_x[:, 1:], axis=0)[seen], np.diff(map_y[:, 1:], axis=0)[seen]
    return max(1, round(float(np.sqrt(np.median(np.abs(xu * yv - xv * yu))))))
