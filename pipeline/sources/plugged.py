"""A source from another package, whose errors and frames are checked."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from ...engines.host.plugins import blamed, plugin
from ..core.frames import Camera, Frame
from ..errors import InputError


class PluggedSource:
    """See `Source`. Raises InputError for whatever the plug-in raises, and for frames that are none of its camera."""

    def __init__(self, spec: str, name: str, argument: str, camera: Camera) -> None:
        """spec: what the user wrote. name: of the entry point. argument: what follows it."""
        self._spec, self._camera, self._closed = spec, camera, False
        with blamed(spec, InputError):
            make = plugin("sources", name)
            assert make is not None
            self._source = make(argument, camera)
            self.info, self.health = self._source.info, self._source.health

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
            yield frame
            before = frame
        if before is None and not self._closed:
            raise InputError(f"{self._spec}: gave no frame")

    def close(self) -> None:
        """See `Source`."""
        self._closed = True
        with blamed(self._spec, InputError):
            self._source.close()

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
