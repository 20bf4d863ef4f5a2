"""What every fusion engine is: both cameras' frames in, fused frame and the two physical maps out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from .warp import Pixels as Pixels
from .warp import Warp

Outputs = Mapping[str, npt.NDArray[Any]]
"""What a graph gives for one pair, by the names of `graph.ImagePath.outputs`: images (H, W, 3) and maps (H, W) uint8,
state (STATE,) float32. Owned by whoever receives them."""
Strength = float | Literal["auto"]
"""0 to 1, or `auto`: chosen by the engine from its own haze density or illumination map."""


class EngineError(Exception):
    """An engine cannot be built or used. One line: which engine, what is wrong, what to do."""


class EngineRefused(EngineError):
    """A built engine does not compute what its network does. The message has the figures."""


class BuildStopped(EngineError):
    """The build of an engine was given up because a stop was asked for. No fault, and no reason for another engine."""

    def __init__(self) -> None:
        super().__init__("stopped while an engine was built")


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """What an engine returns for one pair. All arrays uint8 and owned by the caller.

    image: (H, W, 3) RGB, the fused frame.
    restored: (H, W, 3) RGB, the visible frame without haze and darkness.
    haze_density: (h, w), H = 1 - t times 255, t the transmission; may be smaller than the frame.
    illumination: (h, w), Retinex illumination L of the visible frame times 255; may be smaller than the frame.
    infrared: (H, W), infrared on the visible grid, whatever its coverage.
    unlifted: (H, W, 3) RGB, the fused frame with its darkness left; of an engine that was asked for it, and can.
    """

    image: Pixels
    restored: Pixels
    haze_density: Pixels
    illumination: Pixels
    infrared: Pixels
    unlifted: Pixels | None = None

    @staticmethod
    def of(outputs: Outputs) -> Fused:
        """From what a graph gives."""
        return Fused(
            image=outputs["fused"],
            restored=outputs["restored"],
            haze_density=outputs["haze_density"],
            illumination=outputs["illumination"],
            infrared=outputs["registered"],
            unlifted=outputs.get("unlifted"),
        )

    @property
    def to_detect(self) -> Pixels:
        """The frame for a detector. Lifting darkness is for people's eyes: it lifts noise, too, and takes contrast."""
        return self.image if self.unlifted is None else self.unlifted

    @property
    def haze(self) -> float:
        """Mean haze density, 0 (clear) to 1."""
        return float(self.haze_density.mean()) / 255

    @property
    def light(self) -> float:
        """Mean illumination, 0 (black) to 1."""
        return float(self.illumination.mean()) / 255


class FusionEngine(Protocol):
    """A fusion method on one backend."""

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION, for example `physics:openvino:f32`."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a person should know of how this engine came about: refused backends. One line each."""
        ...

    def prepare(self, width: int, height: int, infrared: tuple[int, int] | None = None, reduce: int = 1) -> None:
        """Build for these sizes now, not with the first frame: seconds the first time, less from the store.

        width, height: of the visible frame. infrared: (width, height) of the infrared frame, None for the same. reduce:
        of the warp; `prepare(*warp.shape)` builds for one. Raises EngineError; EngineRefused where the built engine
        fails the parity gate.
        """
        ...

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """Fuse one pair of any size from 160x120 up, odd sizes too.

        visible: (H, W, 3) uint8 RGB. infrared: (h, w) uint8, as the camera gives it. warp: how it lies on the visible
        frame; of infrared that is registered already, (H, W), just its coverage, (H, W) uint8, 255 where infrared is
        valid, 0 where the result must be the visible frame alone. elapsed_s: seconds since the frame of the call
        before, if both are of one video: the airlight is then steadied over time (see `steady`); None for a picture on
        its own. Raises EngineError on other shapes or dtypes.
        """
        ...
