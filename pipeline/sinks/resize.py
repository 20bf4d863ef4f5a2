"""One size for outputs that cannot change theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ..result import Result
from .base import Sink, SinkHealth, close_all


class FirstSize:
    """Hands every result to `sinks` in the first one's size, boxes included, so that they agree on the pixels.

    Frames of another size are scaled and counted in `health.resized`, with one warning.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._health = SinkHealth()
        self._sinks = sinks
        self._size: tuple[int, int] | None = None

    @property
    def health(self) -> SinkHealth:
        """The sinks' health together with what was resized here."""
        every = [sink.health for sink in self._sinks]
        return SinkHealth(
            written=self._health.written,
            resized=self._health.resized,
            retimed=sum(health.retimed for health in every),
            warnings=[*self._health.warnings, *(line for health in every for line in health.warnings)],
        )

    def write(self, result: Result) -> None:
        """Scale if needed and pass on."""
        height, width = result.image.shape[:2]
        if self._size is None:
            self._size = width, height
        if (width, height) != self._size:
            if self._health.resized == 0:
                self._health.warnings.append(
                    f"frame {result.index}: size changed from {self._size[0]}x{self._size[1]} to {width}x{height}; "
                    "scaled back for the output"
                )
            self._health.resized += 1
            result = _scaled(result, self._size)
        for sink in self._sinks:
            sink.write(result)
        self._health.written += 1

    def close(self, complete: bool) -> None:
        """Close all of them."""
        close_all(self._sinks, complete)


def _scaled(result: Result, size: tuple[int, int]) -> Result:
    height, width = result.image.shape[:2]
    x, y = size[0] / width, size[1] / height
    shrinks = x < 1 and y < 1
    image = cv2.resize(result.image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    detections = [found.scaled(x, y) for found in result.detections]
    return replace(result, image=image.astype(np.uint8, copy=False), detections=detections)
