"""A source from another package, whose errors and frames are checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from numbers import Integral
from typing import Any, get_args

import numpy as np

from ...engines.host.plugins import blamed, plugin
from ..core.frames import Camera, Frame
from ..errors import InputError
from .base import Kind, SourceHealth, SourceInfo
from .live import LiveSource


class PluggedSource:
    """See `Source`. Raises InputError for whatever the plug-in raises, and for frames that are none of its camera.

    A frame without an arrival time arrives when it is given.
    """

    def __init__(self, spec: str, name: str, argument: str, camera: Camera) -> None:
        """spec: what the user wrote. name: of the entry point. argument: what follows it."""
        self._spec, self._camera, self._closed = spec, camera, False
        with blamed(spec, InputError):
            make = plugin("sources", name)
            assert make is not None
            self._source = make(argument, camera)
            self.info, self.health = self._source.info, self._source.health
            self._check_info(self.info)

    def __iter__(self) -> Iterator[Frame]:
        before: Frame | None = None
        with blamed(self._spec, InputError):
            frames = iter(self._source)
        while True:
            with blamed(self._spec, InputError):
                frame = next(frames, None)
                if frame is None:
                    break
                self._check(frame, before)
            if not frame.arrival_ns:
                frame = replace(frame, arrival_ns=time.monotonic_ns())
            if self.info.live and frame.time_ns > frame.arrival_ns:
                self.health.doubts.add(
                    f"{self._spec}: its clock runs ahead: frames are stamped after their arrival, and may pair with "
                    "the wrong ones of the other camera; capture times are needed as time.monotonic_ns() tells them"
                )
            yield frame
            before = frame
        if before is None and not self._closed:
            raise InputError(f"{self._spec}: gave no frame")

    def close(self) -> None:
        """See `Source`."""
        self._closed = True
        with blamed(self._spec, InputError):
            self._source.close()

    def _check_info(self, info: Any) -> None:
        if not isinstance(info, SourceInfo) or not isinstance(self.health, SourceHealth):
            raise TypeError("a SourceInfo is needed as info, a SourceHealth as health")
        if info.camera != self._camera or info.kind not in get_args(Kind):
            raise ValueError(
                f"its info has camera {info.camera} and kind {info.kind}: not {self._camera} or no known kind"
            )
        if info.live != (info.clock == "monotonic"):
            raise ValueError(f"its info says live={info.live} and clock={info.clock}: monotonic is for live ones")
        if not all(isinstance(side, int) and side > 0 for side in (info.width, info.height)):
            raise ValueError(f"its info says {info.width}x{info.height}: integers above 0 are needed")
        ratios = info.pixel_aspect, 1 if info.rate is None else info.rate
        if not all(isinstance(ratio, Fraction | int) and ratio > 0 for ratio in ratios):
            raise ValueError("rate, None if unknown, and pixel_aspect of its info are needed as positive Fractions")

    def _check(self, frame: Any, before: Frame | None) -> None:
        if not isinstance(frame, Frame) or frame.camera != self._camera:
            raise ValueError(f"gives {getattr(frame, 'camera', type(frame).__name__)} for a Frame of {self._camera}")
        pixels, ends = frame.pixels, (3,) if self._camera == "visible" else ()
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.size == 0:
            raise ValueError("pixels are needed as a uint8 array")
        if pixels.ndim != 2 + len(ends) or pixels.shape[2:] != ends:
            raise ValueError(f"pixels of {pixels.shape} are no {self._camera} image, (H, W{', 3' if ends else ''})")
        if not isinstance(frame.time_ns, Integral) or (before is not None and frame.time_ns <= before.time_ns):
            raise ValueError(f"frame {frame.sequence}: time_ns must be whole nanoseconds that increase")
        if before is not None and frame.sequence <= before.sequence:
            raise ValueError(f"frame {frame.sequence} comes after frame {before.sequence}: sequence must increase")
        if frame.clock != self.info.clock:
            raise ValueError(f"frame {frame.sequence} has clock {frame.clock}, its source {self.info.clock}")
        if frame.arrival_ns > time.monotonic_ns():
            raise ValueError(f"frame {frame.sequence}: arrival_ns is in the future of time.monotonic_ns()")


class LivePlugged(LiveSource):
    """A live PluggedSource in a thread of its own, so that it can be given up and opened again."""

    plugged = True

    def __init__(self, source: PluggedSource, timeout_s: float) -> None:
        self._close_plugged = source.close
        super().__init__(source.info.spec, timeout_s, lambda cancelled: source)

    def close(self) -> None:
        """See `Source`. The plug-in is closed from this thread, too: it may be waiting for a frame in its own."""
        try:
            self._close_plugged()
        except InputError as error:
            self.health.warnings.append(str(error))
        super().close()
