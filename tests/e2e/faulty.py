"""Two simulated cameras at full speed that break in every way a camera can, on a random but repeatable schedule.

The pictures come out of a looped clip through the real decoder; what is simulated is the cable and the driver: a
connection that breaks or falls silent, timestamps that jump, sizes that change, pictures that freeze, frames left out.
Both are triggered together, whether or not the chain keeps up.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import Source, SourceHealth, open_source

FAULTS = (
    "unplugged",
    "stalled",
    "ended",
    "jumped back",
    "repeating",
    "resized",
    "frozen",
    "half rate",
    "gone for long",
)
STALL_S = 0.3


class Trigger:
    """Exposes both cameras at the same moments, as a trigger line does."""

    def __init__(self, rate: float) -> None:
        """rate: frames per second."""
        self._rate, self._began = rate, time.monotonic()

    def wait(self, served: int) -> int:
        """Until the next moment after number `served`; returns its number. Those that went by meanwhile are missed."""
        number = max(int((time.monotonic() - self._began) * self._rate), served) + 1
        time.sleep(max(0.0, self._began + number / self._rate - time.monotonic()))
        return number


class Device:
    """One camera for the length of a soak, whatever happens to its connection.

    every: a fault begins after so many frames on average. frames: after which the camera is switched off for good.
    size: (width, height) of its pictures, None for the clip's.
    """

    def __init__(
        self,
        clip: Path,
        camera: Camera,
        frames: int,
        every: int,
        trigger: Trigger,
        seed: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.camera: Camera = camera
        self.faults: Counter[str] = Counter()
        self.over = threading.Event()
        self._clip, self._frames, self._trigger, self._size = clip, frames, trigger, size
        self._random = random.Random(seed)
        self._every = every
        self._source: Source = open_source(str(clip), camera, SourceConfig())
        info = replace(self._source.info, live=True, clock="monotonic", frames=None, kind="camera")
        self.info = replace(info, width=size[0], height=size[1]) if size else info
        self._decoded: Iterator[Frame] = iter(self._source)
        self._given = self._served = 0
        self._next_fault = self._random.randint(every // 2, 3 * every // 2)
        self._fault, self._until = "", 0
        self._away = 0
        self._held: np.ndarray | None = None

    def open(self) -> Connection:
        """Connect. InputError while the camera is away."""
        if self._away:
            self._away -= 1
            raise InputError(f"{self.camera}: no such camera")
        return Connection(self)

    def picture(self) -> tuple[np.ndarray, int] | None:
        """The next picture and when it claims to be taken, ns; None where the connection breaks.

        TimeoutError: nothing comes.
        """
        if self.over.is_set() or self._given >= self._frames:
            self.over.set()
            raise TimeoutError
        self._served = self._trigger.wait(self._served)
        self._given += 1
        if self._given >= self._next_fault:
            self._begin()
        pixels, now = self._decode(), time.monotonic_ns()
        active = self._fault if self._given < self._until else ""
        if active in ("unplugged", "ended", "gone for long"):
            self._until = 0
            self._away = {"unplugged": 1, "ended": 0, "gone for long": 3}[active]
            return None
        if active == "stalled":
            self._until = 0
            raise TimeoutError
        if active == "jumped back":
            return pixels, now - 5_000_000_000
        if active == "repeating":
            return pixels, now - now % 200_000_000
        if active == "resized":
            return cv2.resize(pixels, (pixels.shape[1] * 3 // 4 // 2 * 2, pixels.shape[0] * 3 // 4 // 2 * 2)), now
        if active == "half rate":
            self._served = self._trigger.wait(self._served)
        if active == "frozen" and self._held is not None:
            return self._held, now
        self._held = pixels
        return pixels, now

    def _begin(self) -> None:
        self._fault = self._random.choice(FAULTS)
        self.faults[self._fault] += 1
        self._until = self._given + self._random.randint(5, 40)
        self._next_fault = self._until + self._random.randint(self._every // 2, 3 * self._every // 2)

    def _decode(self) -> np.ndarray:
        frame = next(self._decoded, None)
        if frame is None:  # from the start again
            self._source.close()
            self._source = open_source(str(self._clip), self.camera, SourceConfig())
            self._decoded = iter(self._source)
            frame = next(self._decoded)
        return frame.pixels if self._size is None else cv2.resize(frame.pixels, self._size)


class Connection:
    """One opening of a simulated camera."""

    plugged = False

    def __init__(self, device: Device) -> None:
        self._device = device
        self.info = device.info
        self.health = SourceHealth()
        self._last_ns = 0

    def take(self, patience_s: float | None = None) -> Frame | None:
        """See `fusecam.pipeline.sources.watchdog.Connection`."""
        try:
            taken = self._device.picture()
        except TimeoutError:
            self._device.over.wait(min(patience_s or STALL_S, STALL_S))
            raise
        if taken is None:
            return None
        pixels, time_ns = taken
        self._last_ns = max(time_ns, self._last_ns + 1)  # as every source does
        self.health.delivered += 1
        camera = self._device.camera
        now = time.monotonic_ns()
        return Frame(pixels, self._last_ns, "monotonic", self.health.delivered - 1, camera, arrival_ns=now)

    def close(self) -> None:
        """Nothing to free: the camera itself goes on."""
