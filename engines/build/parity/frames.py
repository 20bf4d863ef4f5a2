"""Test frames of the parity gate: three scenes of the sample clips, and frames that are numerically difficult."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ...base import EngineError, Pixels

SCENES = ("fog_day", "fog_night", "clear_night")
"""Names of the scenes."""
Pair = tuple[str, Pixels, Pixels]
"""Name, visible (H, W, 3) RGB and infrared (H, W), uint8."""


def gate_frames(width: int, height: int, infrared: tuple[int, int] | None = None) -> Iterator[Pair]:
    """Yield SCENES, then the first scene in very dense haze (t = 0.03), noise, a contrast of one grey level, highlights
    on black, black, white, and a frame whose right half is white.

    width, height: of the visible frames, in pixels. infrared: width and height of infrared, None: the same.
    """
    infrared = infrared or (width, height)
    scenes = [(name, _read(f"{name}_vis", width, height), _read(f"{name}_ir", *infrared)) for name in SCENES]
    yield from scenes
    _, clear, thermal = scenes[0]
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    spots = np.zeros_like(clear)
    spots[height // 6 :: height // 3, width // 6 :: width // 3] = 255
    half = np.zeros_like(clear)
    half[:, width // 2 :] = 255
    yield "dense haze", (0.03 * clear + 0.97 * 217).astype(np.uint8), thermal
    yield "noise", noise, random.integers(0, 256, thermal.shape, np.uint8)
    yield "one level", 204 + (noise > 127).astype(np.uint8), thermal
    yield "highlights", spots, np.zeros_like(thermal)
    yield "black", np.zeros_like(clear), thermal
    yield "white", np.full_like(clear, 255), np.full_like(thermal, 255)
    yield "half white", half, thermal


def _read(name: str, width: int, height: int) -> Pixels:
    """Read a scene, resized. Returns (height, width, 3) RGB or (height, width), uint8. Raises EngineError."""
    path = Path(__file__).parent / "scenes" / f"{name}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise EngineError(f"{path}: cannot be read; reinstall fusecam")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
