"""Messages to a browser: JPEGs of the requested views of one result, and its figures."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import cv2
import numpy as np

from ...core.frames import Frame, Pixels
from ...core.looks import PALETTES, Palette
from ...core.result import Result
from ...overlay.heat import draw_heat
from ...overlay.ink import font_size
from ...overlay.views import thermal, visible
from ...sinks.jsonl import record

THERMAL = "infrared-large:"
"""Followed by a palette."""
LARGE = ("fused", "visible-large", *(f"{THERMAL}{palette}" for palette in PALETTES))
VIEWS = (*LARGE, "visible", "infrared", "haze", "illumination")
LARGE_WIDTH, SMALL_WIDTH = 1280, 320
"""Largest width of a view in pixels."""
_QUALITY = {True: 82, False: 75}
_BELIEVED_NS = 10_000_000_000  # between taking a frame and decoding it
_LENGTH = struct.Struct("<I")


class Pictures:
    """Encodes each view of the newest result once for all browsers. Thread-safe."""

    def __init__(self, drawn: Callable[[], bool] = lambda: False) -> None:
        """drawn: whether infrared is to show its temperatures."""
        self._drawn = drawn
        self._lock = threading.Lock()
        self._result: Result | None = None
        self._encoded: dict[str, bytes] = {}

    def packed(self, result: Result, views: Sequence[str]) -> bytes:
        """A message: length of the head (uint32, little-endian), the head as JSON, the JPEGs.

        The head is the result's line as in the .jsonl, with `led_by`, `captured_ms` and `sent_ms` on the server's clock
        (that of `/clock`), `utc_ms` when it was taken (null of a recording), `width` and `height` of the fused picture,
        and `views`: name and length in bytes of each JPEG in order, 0 where there is no such picture because its camera
        is lost.
        """
        with self._lock:
            if self._result is not result:
                self._result, self._encoded = result, {}
            for view in views:
                if view not in self._encoded:
                    self._encoded[view] = _jpeg(result, view, self._drawn())
            images = [self._encoded[view] for view in views]
        height, width = result.fused.image.shape[:2]
        now_ms, captured_ms = time.monotonic_ns() / 1e6, captured_ns(result.pair.visible) / 1e6
        dated = result.pair.visible.clock == "monotonic"
        sizes = [[view, len(image)] for view, image in zip(views, images, strict=True)]
        head = {
            **record(result),
            "led_by": result.pair.led_by,
            "captured_ms": round(captured_ms, 2),
            "sent_ms": round(now_ms, 2),
            "utc_ms": round(time.time() * 1e3 - (now_ms - captured_ms)) if dated else None,
            "width": width,
            "height": height,
            "views": sizes,
        }
        text = json.dumps(head).encode()
        return b"".join((_LENGTH.pack(len(text)), text, *images))


def captured_ns(frame: Frame) -> int:
    """Capture time of a frame on CLOCK_MONOTONIC in ns; its arrival time if the former is unknown."""
    known = frame.clock == "monotonic" and 0 <= frame.arrival_ns - frame.time_ns < _BELIEVED_NS
    return frame.time_ns if known else frame.arrival_ns


def _jpeg(result: Result, view: str, drawn: bool) -> bytes:
    """JPEG of a view; b"" if the result does not have it."""
    image = _picture(result, view, drawn)
    if image is None:
        return b""
    width = LARGE_WIDTH if view in LARGE else SMALL_WIDTH
    if image.shape[1] > width:
        size = width, max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if view in ("haze", "illumination"):
        # Both equally bright to the eye along the scale, and told apart at a glance.
        scale = cv2.COLORMAP_VIRIDIS if view == "haze" else cv2.COLORMAP_INFERNO
        image = cv2.applyColorMap(image, scale).astype(np.uint8, copy=False)
    elif image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
    written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY[view in LARGE]])
    if not written:
        raise RuntimeError(f"a picture of {image.shape} could not be encoded")
    return data.tobytes()


def _picture(result: Result, view: str, drawn: bool) -> Pixels | None:
    """Image of a view, (h, w, 3) uint8 RGB or (h, w) uint8; None if the result does not have it."""
    pair = result.pair
    if view == "fused":
        return result.image
    if view.startswith(THERMAL):
        palette = cast(Palette, view.removeprefix(THERMAL))
        image = thermal(result, palette)
        if drawn and image is not None and result.heat is not None:
            draw_heat(image, result.heat, result.spot, font_size(image.shape[1], image.shape[0]), palette)
        return image
    if view == "infrared":
        return None if pair.infrared is None else pair.infrared.pixels
    if pair.led_by == "infrared":  # what stands in for the visible camera is not to be taken for it
        return None
    if view == "visible":
        return pair.visible.pixels
    if view == "visible-large":
        return visible(result)
    return result.fused.haze_density if view == "haze" else result.fused.illumination
