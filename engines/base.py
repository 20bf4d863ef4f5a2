"""The interface of all fusion engines: frames of both cameras in; fused frame and two physical maps out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from .warp import Pixels as Pixels
from .warp import Warp

Outputs = Mapping[str, npt.NDArray[Any]]
"""Arrays that a graph computes for one pair, by the names of `graph.ImagePath.outputs`: images (H, W, 3) and maps
(h, w), uint8; state (STATE,), float32. The caller owns them."""
Strength = float | Literal["auto"]
"""0 to 1, or `auto`: the engine chooses it for each frame from its haze density or illumination."""


class EngineError(Exception):
    """An engine cannot be built or used. The message is one line: the engine, the cause, the remedy."""


class EngineRefused(EngineError):
    """A compiled engine failed the parity gate: its outputs differ from the network's. The message has the figures."""


class BuildStopped(EngineError):
    """A build was cancelled because the run is to stop. Not a fault: no other engine is tried."""

    def __init__(self) -> None:
        super().__init__("stopped while an engine was built")


def one_line(text: object, most: int = 300) -> str:
    """The message of an error on one line of at most `most` characters."""
    return " ".join(str(text).split())[:most]


@contextmanager
def building(what: str) -> Iterator[None]:
    """Context in which a compiler, which may raise anything, raises EngineError or EngineRefused."""
    try:
        yield
    except EngineError:
        raise
    except Exception as e:
        raise EngineRefused(f"{what}: {one_line(e)}") from e


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """Result of an engine for one pair. All arrays are uint8 and owned by the caller.

    Attributes:
        image: (H, W, 3) RGB, the fused frame.
        restored: (H, W, 3) RGB, the visible frame, dehazed and lifted.
        haze_density: (h, w), 255 (1 - t), t the transmission; may be smaller than the frame.
        illumination: (h, w), 255 L, L the Retinex illumination of the visible frame; may be smaller than the frame.
        infrared: (H, W), infrared warped onto the visible grid, also where its coverage is 0.
        unlifted: (H, W, 3) RGB, the fused frame without lift; None unless the engine was created with `unlifted` and
            its network can compute it.
    """

    image: Pixels
    restored: Pixels
    haze_density: Pixels
    illumination: Pixels
    infrared: Pixels
    unlifted: Pixels | None = None

    @staticmethod
    def of(outputs: Outputs) -> Fused:
        """From the outputs of a graph."""
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
        """The frame for a detector: `unlifted` if there is one, since the lift amplifies noise and reduces contrast."""
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

    @property
    def notes(self) -> list[str]:
        """Messages for the user about this engine, such as backends that were refused. One line each."""

    def prepare(self, width: int, height: int, infrared: tuple[int, int] | None = None, reduce: int = 1) -> None:
        """Build for these frame sizes now instead of with the first frame: takes seconds, less from the store.

        `prepare(*warp.shape)` builds for a warp.

        Args:
            width: Of the visible frame, in pixels.
            height: Of the visible frame, in pixels.
            infrared: (width, height) of the infrared frame; None: that of the visible frame.
            reduce: Side of the tiles of the infrared frame that are averaged before it is sampled, see `Warp`.

        Raises:
            EngineError: The sizes are not supported, or the engine cannot be built.
            EngineRefused: The compiled engine failed the parity gate.
        """

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """Fuse one pair, of any size from 160x120 up, also odd sizes.

        Args:
            visible: (H, W, 3) uint8 RGB.
            infrared: (h, w) uint8, as the camera delivers it.
            warp: Maps infrared onto the visible frame. For infrared that is already registered, (H, W): its coverage,
                (H, W) uint8, 255 where infrared is valid, 0 where the result must be the visible frame alone.
            elapsed_s: Seconds since the previous call's frame of the same video: airlight, strengths and other global
                quantities are then smoothed over time (see `networks.smoothing`). None for a single picture.

        Raises:
            EngineError: An array has another shape or dtype.
        """
