"""Detections."""

from __future__ import annotations

from dataclasses import dataclass, replace

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object.

    label: class name. score: 0 to 1. box: x1, y1, x2, y2 in pixels of the visible frame, top left corner (0, 0).
    track: the object's number over time, None when nothing tracks. coasted: not found in this frame, but a moment ago:
    the box is where its track expects it, the score the last one. temperature: greatest and mean inside the box, in
    degrees Celsius, where infrared gives temperatures and the object was found.
    """

    label: str
    score: float
    box: Box
    track: int | None = None
    coasted: bool = False
    temperature: tuple[float, float] | None = None

    def scaled(self, x: float, y: float) -> Detection:
        """The same object in an image `x` times as wide and `y` times as high."""
        x1, y1, x2, y2 = self.box
        return replace(self, box=(x1 * x, y1 * y, x2 * x, y2 * y))
