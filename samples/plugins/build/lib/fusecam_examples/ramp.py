"""A source: `--ir ramp://21 --vis ramp://20` generates 21 and 20 frames, like a camera driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

import fusecam
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.sources.base import SourceHealth, SourceInfo

RATE = 25
WIDTH, HEIGHT = 160, 120


class Ramp:
    """A brightness ramp that moves to the right."""

    def __init__(self, argument: str, camera: Camera) -> None:
        """argument: number of frames, the part after ://. camera: `visible` or `infrared`."""
        if not argument.isdigit():
            raise fusecam.InputError(f"ramp://{argument}: give the number of frames, as in ramp://20")
        frames = int(argument)
        spec = f"ramp://{argument}"
        self.info = SourceInfo(spec, "video", camera, WIDTH, HEIGHT, Fraction(RATE), frames, live=False, clock="media")
        self.health = SourceHealth()
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        for k in range(self.info.frames or 0):
            if self._closed:
                return
            row = (np.arange(WIDTH) + k).astype(np.uint8)
            pixels = np.repeat(row[None], HEIGHT, axis=0)
            if self.info.camera == "visible":
                pixels = np.repeat(pixels[..., None], 3, axis=2)
            self.health.delivered += 1
            at = k * 1_000_000_000 // RATE  # capture time in ns; a live camera uses CLOCK_MONOTONIC
            yield Frame(pixels, at, "media", k, self.info.camera, arrival_ns=time.monotonic_ns())

    def close(self) -> None:
        """End the iteration and release the device; may be called from another thread."""
        self._closed = True
