"""A source: `--ir ramp://21 --vis ramp://20` gives 21 and 20 drawn frames, as a camera's driver would."""

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
        """argument: what follows ://, here the number of frames. camera: `visible` or `infrared`."""
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
            at = k * 1_000_000_000 // RATE  # capture time in ns; of a live camera on CLOCK_MONOTONIC
            yield Frame(pixels, at, "media", k, self.info.camera, arrival_ns=time.monotonic_ns())

    def close(self) -> None:
        """From another thread: end the iteration, release the device."""
        self._closed = True
