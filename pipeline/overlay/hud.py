"""The head-up line: the run's figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ..core.frames import Pixels
from .ink import ALERT, BRIGHT, DIM, SHADE, draw_text
from .text import text_mask


@dataclass(frozen=True, slots=True)
class Hud:
    """The head-up line's figures.

    fps: output frames per second. latency_ms: (p50, p99) of the age at output. skew_ms: None without an infrared
    partner. haze, illumination: 0 to 1, NaN where not known. alert: which camera is missing, None for neither.
    """

    fps: float
    latency_ms: tuple[float, float] | None
    skew_ms: float | None
    haze: float
    illumination: float
    alert: str | None = None


def draw_hud(image: Pixels, hud: Hud, size: int) -> None:
    """The line along the top edge. size: of its text."""
    height, width = image.shape[:2]
    strip = _strip(_segments(hud), hud.alert or "", size, width)
    roi = image[: min(height, strip.shape[0])]
    cv2.max(cv2.convertScaleAbs(roi, alpha=SHADE), strip[: roi.shape[0]], dst=roi)


def _segments(hud: Hud) -> tuple[tuple[str, str], ...]:
    """(value, unit or name) in the order of importance; the last ones go where the line is too narrow."""
    p50, p99 = hud.latency_ms or (math.nan, math.nan)
    return (
        (f"{hud.fps:.0f}", "fps"),
        (f"{_figure(p50)} / {_figure(p99)}", "ms p50/p99"),
        (_figure(hud.skew_ms, sign="+"), "ms skew"),
        (_percent(hud.haze), "% haze"),
        (_percent(hud.illumination), "% light"),
    )


def _figure(value: float | None, sign: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return format(value, f"{sign}.1f" if abs(value) < 100 else f"{sign}.0f")


def _percent(part: float) -> str:
    return f"{part * 100:.0f}" if math.isfinite(part) else "-"


def line_height(size: int) -> int:
    """Rows that the line takes."""
    return int(text_mask("0", size).shape[0]) + max(2, size // 3)


@lru_cache(maxsize=64)
def _strip(segments: tuple[tuple[str, str], ...], alert: str, size: int, width: int) -> Pixels:
    """The head-up line's text on black, (h, width, 3) uint8, to be laid over the shaded picture by its maximum."""
    gap, space = round(size * 1.3), max(2, round(size * 0.3))
    strip = np.zeros((line_height(size), width, 3), np.uint8)
    top = (strip.shape[0] - text_mask("0", size).shape[0]) // 2
    right = width - gap // 2
    if alert:
        mask = text_mask(alert, size)
        right = max(0, right - mask.shape[1])
        draw_text(strip, mask, ALERT, right, top)
        right -= gap
    x = gap // 2
    for value, unit in segments:
        parts = text_mask(value, size), text_mask(unit, size)
        if x + parts[0].shape[1] + space + parts[1].shape[1] > right:
            break
        for mask, ink, after in zip(parts, (BRIGHT, DIM), (space, gap), strict=True):
            draw_text(strip, mask, ink, x, top)
            x += mask.shape[1] + after
    return strip
