"""What is drawn on the output: boxes with labels, a head-up line, the two inputs in a corner."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from .config import OverlayConfig
from .detect import Detection
from .frames import FramePair, Pixels
from .latency import LatencyRecorder
from .result import Result
from .text import text_mask

Colour = tuple[int, int, int]
Segment = tuple[str, Colour]

# Okabe and Ito's palette, told apart by the colour-blind; without its black and its dark blue, which night swallows.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 190, 140),
    (240, 228, 66),
    (204, 121, 167),
    (235, 110, 20),
)
CLASS_COLOURS = {"person": PALETTE[0], "car": PALETTE[1], "bicycle": PALETTE[2]}
BRIGHT, DIM, ALERT = (245, 245, 245), (180, 186, 190), (255, 190, 60)
_SHADE = 0.33  # what is left of the picture under text
_TAG_SHADE = 0.2  # under labels, which may lie on each other
_LOST_S = 1.0
_REFRESH_S = 0.25  # how often the measured figures change: faster cannot be read
_INSET = 0.24  # of the image height


@dataclass(frozen=True, slots=True)
class Hud:
    """The head-up line's figures.

    fps: output frames per second. latency_ms: (p50, p99) of the age at output. skew_ms: None without an infrared
    partner. haze, illumination: 0 to 1. alert: what is wrong with the infrared, None for nothing.
    """

    fps: float
    latency_ms: tuple[float, float] | None
    skew_ms: float | None
    haze: float
    illumination: float
    alert: str | None = None


class Overlay:
    """Draws on the output. Sizes follow the image height, so that a small frame and a large one look alike."""

    def __init__(self, config: OverlayConfig) -> None:
        self._inset = config.inset
        self._infrared_ns: int | None = None
        self._measured_at = -math.inf
        self._fps = 0.0
        self._latency: tuple[float, float] | None = None

    def draw(self, result: Result, recorder: LatencyRecorder) -> Result:
        """The same result with the overlay on a copy of its image; the figures come from `recorder`."""
        image = result.image.copy()
        self.paint(image, result.detections, self.hud(result, recorder), result.pair if self._inset else None)
        return replace(result, image=image)

    def hud(self, result: Result, recorder: LatencyRecorder) -> Hud:
        """The figures to show with a result: "VIS ONLY" without an infrared partner, "IR LOST" after a second of it."""
        now = time.monotonic()
        if now - self._measured_at >= _REFRESH_S:
            self._measured_at = now
            self._fps, self._latency = recorder.fps(2.0), recorder.rolling("age")
        pair = result.pair
        alert = None
        if pair.infrared is not None or self._infrared_ns is None:
            self._infrared_ns = pair.visible.time_ns
        if pair.infrared is None:
            alert = "IR LOST" if pair.visible.time_ns - self._infrared_ns > _LOST_S * 1e9 else "VIS ONLY"
        skew = None if pair.infrared is None else pair.skew_ns / 1e6
        return Hud(self._fps, self._latency, skew, result.fused.haze, result.fused.light, alert)

    def paint(
        self, image: Pixels, detections: Sequence[Detection], hud: Hud | None, inputs: FramePair | None = None
    ) -> None:
        """Draw into `image`, (H, W, 3) uint8 RGB, writeable. hud, inputs: None leaves the line or the inset out."""
        size = font_size(image.shape[1], image.shape[0])
        ceiling = 0 if hud is None else _line_height(size)
        found = [(d, box) for d in sorted(detections, key=lambda d: d.score) if (box := _visible(d, image))]
        for detection, (x1, y1, x2, y2) in found:
            cv2.rectangle(image, (x1, y1), (x2, y2), class_colour(detection.label), _line_width(image))
        for detection, (x1, y1, _, _) in found:
            _draw_label(image, detection, x1, y1, size, ceiling)
        if inputs is not None:
            _draw_inputs(image, inputs, size)
        if hud is not None:
            _draw_hud(image, hud, size)


def font_size(width: int, height: int) -> int:
    """Pixels of the text on an image of this size: by its height, by its width where it is narrow."""
    return max(10, round(min(height, width * 0.75) * 0.028))


def class_colour(label: str) -> Colour:
    """The colour of a class: the same in every run."""
    return CLASS_COLOURS.get(label) or PALETTE[zlib.crc32(label.encode("utf-8", "replace")) % len(PALETTE)]


def _visible(found: Detection, image: Pixels) -> tuple[int, int, int, int] | None:
    """The part of the box inside the image, in whole pixels; None where nothing is left."""
    height, width = image.shape[:2]
    if not all(map(math.isfinite, found.box)):
        return None
    x1, x2 = (round(min(max(x, 0), width - 1)) for x in (found.box[0], found.box[2]))
    y1, y2 = (round(min(max(y, 0), height - 1)) for y in (found.box[1], found.box[3]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _line_width(image: Pixels) -> int:
    return int(max(1, round(image.shape[0] / 420)))


def _draw_label(image: Pixels, found: Detection, x1: int, y1: int, size: int, ceiling: int) -> None:
    """The label on top of the box, inside the image. ceiling: the first row that it may use."""
    height, width = image.shape[:2]
    line, pad = _line_width(image), max(2, size // 4)
    track = "" if found.track is None else f"  #{found.track}"  # two spaces: one is hardly seen at small sizes
    mask = text_mask(f"{found.label}{track}  {found.score:.2f}", size)
    tag_width, tag_height = min(width, mask.shape[1] + 2 * pad + line), min(height, mask.shape[0] + pad // 2)
    left = min(x1, width - tag_width)
    top = y1 - tag_height if y1 - tag_height >= ceiling else max(y1 + line, ceiling)
    top = max(0, min(top, height - tag_height))
    tag = image[top : top + tag_height, left : left + tag_width]
    _shade(tag, _TAG_SHADE)
    tag[:, : line + 1] = class_colour(found.label)
    _lay(tag, mask, BRIGHT, pad + line, pad // 4)


def _draw_hud(image: Pixels, hud: Hud, size: int) -> None:
    height, width = image.shape[:2]
    strip = _strip(_segments(hud), hud.alert or "", size, width)
    roi = image[: min(height, strip.shape[0])]
    cv2.max(cv2.convertScaleAbs(roi, alpha=_SHADE), strip[: roi.shape[0]], dst=roi)


def _segments(hud: Hud) -> tuple[tuple[str, str], ...]:
    """(value, unit or name) in the order of importance; the last ones go where the line is too narrow."""
    p50, p99 = hud.latency_ms or (math.nan, math.nan)
    return (
        (f"{hud.fps:.0f}", "fps"),
        (f"{_figure(p50)} / {_figure(p99)}", "ms p50/p99"),
        (_figure(hud.skew_ms, sign="+"), "ms skew"),
        (f"{hud.haze * 100:.0f}", "% haze"),
        (f"{hud.illumination * 100:.0f}", "% light"),
    )


def _figure(value: float | None, sign: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return format(value, f"{sign}.1f" if abs(value) < 100 else f"{sign}.0f")


def _line_height(size: int) -> int:
    return int(text_mask("0", size).shape[0]) + max(2, size // 3)


@lru_cache(maxsize=64)
def _strip(segments: tuple[tuple[str, str], ...], alert: str, size: int, width: int) -> Pixels:
    """The head-up line's text on black, (h, width, 3) uint8, to be laid over the shaded picture by its maximum."""
    gap, space = round(size * 1.3), max(2, round(size * 0.3))
    strip = np.zeros((_line_height(size), width, 3), np.uint8)
    top = (strip.shape[0] - text_mask("0", size).shape[0]) // 2
    right = width - gap // 2
    if alert:
        mask = text_mask(alert, size)
        right = max(0, right - mask.shape[1])
        _lay(strip, mask, ALERT, right, top)
        right -= gap
    x = gap // 2
    for value, unit in segments:
        parts = text_mask(value, size), text_mask(unit, size)
        if x + parts[0].shape[1] + space + parts[1].shape[1] > right:
            break
        _lay(strip, parts[0], BRIGHT, x, top)
        x += parts[0].shape[1] + space
        _lay(strip, parts[1], DIM, x, top)
        x += parts[1].shape[1] + gap
    return strip


def _draw_inputs(image: Pixels, pair: FramePair, size: int) -> None:
    """The inputs side by side at the bottom right, as they came."""
    height, width = image.shape[:2]
    target, margin = round(height * _INSET), max(2, size // 2)
    right = width - margin
    for name, frame in (("IR", pair.infrared), ("VIS", pair.visible)):
        source = pair.visible if frame is None else frame
        inner = max(1, round(source.size[0] * target / source.size[1]))
        left, top = right - inner, height - margin - target
        if left < margin or top < margin:
            return
        place = image[top : top + target, left:right]
        if frame is None:
            place[:] = 0
        else:
            place[:] = _small(frame.pixels, inner, target)
        cv2.rectangle(image, (left - 1, top - 1), (right, top + target), DIM, 1)
        mask = text_mask(name if frame is not None else f"no {name}", size)
        backing = place[: mask.shape[0], : mask.shape[1] + 2 * (size // 3)]
        _shade(backing)
        _lay(backing, mask, BRIGHT, size // 3, 0)
        right = left - margin


def _small(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width:
        # Averaging 2x2 pixels is quick, by other factors it is not.
        pixels = np.asarray(cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR), np.uint8)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small if small.ndim == 3 else cv2.cvtColor(small, cv2.COLOR_GRAY2RGB), np.uint8)


def _shade(place: Pixels, left: float = _SHADE) -> None:
    cv2.convertScaleAbs(place, dst=place, alpha=left)


def _lay(place: Pixels, mask: Pixels, colour: Colour, x: int, y: int) -> None:
    """Text onto `place` in a colour lighter than what is there, its top left corner at (x, y), cut at the edges."""
    part = mask[: max(0, place.shape[0] - y), : max(0, place.shape[1] - x)]
    if part.size == 0:
        return
    roi = place[y : y + part.shape[0], x : x + part.shape[1]]
    cv2.max(roi, np.multiply(part[..., None] / 255, colour).astype(np.uint8), dst=roi)
