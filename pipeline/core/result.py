"""The result for one visible frame, as given to the sinks."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...engines.base import Fused
from .detections import Detection
from .frames import FramePair, Pixels, Temperature


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One output frame.

    index: position in the output, from 0, no gaps.
    pair: what came in; the visible frame's presentation time is the output's.
    fused: the engine's image and maps.
    image: uint8 RGB, what is shown and stored: the fused frame, (H, W, 3), or another view of it, with the overlay if
        there is one.
    detections: boxes in pixels of the fused frame.
    spot: temperature at the middle of the image, in degrees Celsius, where infrared gives temperatures there.
    """

    index: int
    pair: FramePair
    fused: Fused
    image: Pixels
    detections: list[Detection] = field(default_factory=list)
    spot: float | None = None

    @property
    def heat(self) -> Temperature | None:
        """The infrared frame's temperatures, where it gives some."""
        return None if self.pair.infrared is None else self.pair.infrared.temperature

    @property
    def found(self) -> list[str]:
        """Classes of what the detector found in this very frame, one for each box."""
        return [detection.label for detection in self.detections if not detection.coasted]

    @property
    def time(self) -> float:
        """Capture time of the visible frame in seconds, on its own clock."""
        return self.pair.visible.time_ns / 1e9
