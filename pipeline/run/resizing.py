"""Changes of the frame size during a run: an engine for the new size takes seconds to build, the run goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace

import cv2
import numpy as np

from ...calib.rig import RigError
from ...engines.base import Fused
from ...engines.warp import Shape, Size
from ..core.detections import Detection
from ..core.frames import Frame, FramePair, Pixels
from ..registration.register import Registrar


class _Build(threading.Thread):
    """One build in a thread of its own. error: what it raised, once it is over."""

    def __init__(self, shape: Shape, job: Callable[[Shape], object]) -> None:
        super().__init__(name="building", daemon=True)
        self.shape = shape
        self.error: Exception | None = None
        self._job = job
        self._context = copy_context()  # of the run, whose stop ends the build
        self.start()

    def run(self) -> None:
        """Do the job."""
        try:
            self._context.run(self._job, self.shape)
        except Exception as error:  # said by whoever looks
            self.error = error


class Sizes:
    """Which frame sizes an engine is ready for. For others it is built beside the run, into the store.

    Meanwhile frames go on at the size before (`known`): scaled to it, fused, and scaled back. A size that cannot be
    built for goes on like that.
    """

    def __init__(
        self, shape: Shape, visible: Size, infrared: Size, job: Callable[[Shape], object], warn: Callable[[str], None]
    ) -> None:
        """shape, visible, infrared: what the engine was built for. job: builds for another shape, in another thread,
        so that the engine then finds it in the store. warn: told in one line of what happens."""
        self.known: tuple[Size, Size] = visible, infrared
        self._ready, self._refused = {shape}, set[Shape]()
        self._job, self._warn = job, warn
        self._building: _Build | None = None

    def ready(self, pair: FramePair, shape: Shape) -> bool:
        """Whether the engine is ready for this pair; begins to build for it, if not."""
        if (build := self._building) is not None and not build.is_alive():
            self._building = None
            if build.error is None:
                self._ready.add(build.shape)
            else:
                self._refused.add(build.shape)
                self._warn(
                    f"engine: cannot be built for {build.shape}: such frames are scaled for fusion ({build.error})"
                )
        if shape in self._ready:
            if pair.infrared is not None:
                self.known = pair.visible.size, pair.infrared.size
            return True
        if self._building is None and shape not in self._refused:
            self._warn(f"engine: is being built for {shape}; until it is ready such frames are scaled for fusion")
            self._building = _Build(shape, self._job)
        return False

    def end(self, stop: threading.Event) -> None:
        """Break off what is being built, by `stop`: a thread that is still inside a backend when the process ends would
        take it down."""
        if self._building is not None and self._building.is_alive():
            stop.set()
            self._building.join()

    def scaled(self, pair: FramePair, registrar: Registrar) -> FramePair:
        """The pair at the known sizes; without infrared where the rig does not fit the sizes it has."""
        visible, infrared = self.known
        felt = pair.infrared
        if felt is not None:
            try:
                registrar.warp(pair.visible.size, felt.size)
            except RigError:
                felt = None
        return replace(pair, visible=_resized(pair.visible, visible), infrared=felt and _resized(felt, infrared))


def back(fused: Fused, detections: list[Detection], size: Size) -> tuple[Fused, list[Detection]]:
    """Scale the results of a scaled pair back to frames of `size`."""
    height, width = fused.image.shape[:2]
    whole = replace(
        fused,
        image=_scaled(fused.image, size),
        restored=_scaled(fused.restored, size),
        infrared=_scaled(fused.infrared, size),
        unlifted=None if fused.unlifted is None else _scaled(fused.unlifted, size),
    )
    return whole, [found.scaled(size[0] / width, size[1] / height) for found in detections]


def _resized(frame: Frame, size: Size) -> Frame:
    return replace(frame, pixels=_scaled(frame.pixels, size), counts=None, temperature=None)


def _scaled(pixels: Pixels, size: Size) -> Pixels:
    smaller = size[0] < pixels.shape[1]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)
