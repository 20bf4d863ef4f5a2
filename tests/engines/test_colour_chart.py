"""Colours on a chart: through clear air, haze and darkness no hue flips, and clear colours stay what they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusecam.engines import create_engine
from fusecam.engines.base import Pixels

pytestmark = pytest.mark.slow

# X-Rite's published sRGB values of the 24 patches of the ColorChecker, row by row
CHART = np.frombuffer(
    bytes.fromhex(
        """
735244 c29682 627a9d 576c43 8580b1 67bdaa d67e2c 505ba6 c15a63 5e3c6c 9dbc40 e0a32e
383d96 469449 af363c e7c71f bb5695 0885a1 f3f3f2 c8c8c8 a0a0a0 7a7a79 555555 343434
"""
    ),
    np.uint8,
).reshape(24, 3)
PATCH = 80


def chart() -> Pixels:
    """The chart on a gray wall, (480, 640, 3)."""
    frame = np.full((480, 640, 3), 118, np.uint8)
    for index, colour in enumerate(CHART):
        row, column = divmod(index, 6)
        y, x = 40 + row * 105, 30 + column * 100
        frame[y : y + PATCH, x : x + PATCH] = colour
    return frame


def patches(frame: Pixels) -> np.ndarray:
    """Mean a*, b* of every patch, (24, 2)."""
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    found = []
    for index in range(len(CHART)):
        row, column = divmod(index, 6)
        y, x = 40 + row * 105, 30 + column * 100
        found.append(lab[y + 20 : y + PATCH - 20, x + 20 : x + PATCH - 20, 1:].mean(axis=(0, 1)))
    return np.array(found)


def seen(frame: Pixels, condition: str) -> Pixels:
    values = frame / 255
    if condition == "haze":
        values = 0.45 * values + 0.55 * 0.8
    if condition == "dusk":
        values = 0.2 * values
    noise = np.random.default_rng(0).normal(0, 1 / 255, values.shape)
    return ((values + noise).clip(0, 1) * 255 + 0.5).astype(np.uint8)


@pytest.mark.parametrize("name", ["physics", "realtime", "tiny"])
@pytest.mark.parametrize(("condition", "most"), [("clear", 10), ("haze", 40), ("dusk", 25)])
def test_hues_of_a_colour_chart_are_kept(name: str, condition: str, most: float) -> None:
    """most: degrees that the hue of a coloured patch may turn, in a* b*."""
    given = seen(chart(), condition)
    infrared = np.full(given.shape[:2], 60, np.uint8)
    infrared[:, 300:340] = 90
    fused = create_engine(name, hue=0).fuse(given, infrared, np.full_like(infrared, 255)).image
    true, found = patches(chart()), patches(fused)
    coloured = np.hypot(*true.T) > 15
    turned = np.degrees(np.arctan2(found[:, 1], found[:, 0]) - np.arctan2(true[:, 1], true[:, 0]))
    turned = np.abs((turned + 180) % 360 - 180)
    assert coloured.sum() == 18
    assert turned[coloured].max() < most
    assert np.hypot(*found[~coloured].T).max() < (6 if condition == "clear" else 15)  # grays stay gray
