"""Scales results to one size for outputs of fixed size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..core.result import Result
from .base import Sink, SinkHealth


class FirstSize:
    """Brings every result to the size of the first one, boxes included, for all sinks that are to agree on the pixels.

    Frames of another size are scaled and counted in `resized`, with one warning.
    """

    def __init__(self) -> None:
        self.resized = 0
        self.warnings: list[str] = []
        self._size: tuple[int, int] | None = None
        self._last: tuple[Result, Result] | None = None

    def fit(self, result: Result) -> Result:
        """The result in the first one's size; the same for every sink that asks."""
        height, width = result.image.shape[:2]
        self._size = self._size or (width, height)
        if (width, height) == self._size:
            return result
        if self._last is None or self._last[0] is not result:
            if self.resized == 0:
                self.warnings.append(
                    f"frame {result.index}: size changed from {self._size[0]}x{self._size[1]} to {width}x{height}; "
                    "scaled back for the output"
                )
            self.resized += 1
            self._last = result, _scaled(result, self._size)
        return self._last[1]


class Sized:
    """A sink that gets every result in the first one's size."""

    def __init__(self, sink: Sink, size: FirstSize) -> None:
        self._sink, self._size = sink, size

    @property
    def health(self) -> SinkHealth:
        """The sink's health together with what was resized."""
        health = self._sink.health
        return replace(health, resized=self._size.resized, warnings=[*self._size.warnings, *health.warnings])

    def write(self, result: Result) -> None:
        """Scale if needed and pass on."""
        self._sink.write(self._size.fit(result))

    def close(self, complete: bool) -> None:
        """Close the sink."""
        self._sink.close(complete)


def _scaled(result: Result, size: tuple[int, int]) -> Result:
    height, width = result.image.shape[:2]
    x, y = size[0] / width, size[1] / height
    shrinks = x < 1 and y < 1
    image = cv2.resize(result.image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    detections = [found.scaled(x, y) for found in result.detections]
    return replace(result, image=image.astype(np.uint8, copy=False), detections=detections)
