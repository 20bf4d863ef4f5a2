from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest


def make_street(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A street-like visible frame (H, W, 3) and infrared frame (H, W), uint8: boxes, a road, texture, one warm body."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 1, height)[:, None, None]
    visible = np.broadcast_to(45 + 60 * rows * np.array([1.0, 0.9, 0.8]), (height, width, 3)).copy()
    infrared = np.full((height, width), 35.0)
    for _ in range(12):
        x, y = (int(random.integers(0, side)) for side in (width, height))
        corner = (x + width // 6, y + height // 5)
        cv2.rectangle(visible, (x, y), corner, random.uniform(5, 200, 3).tolist(), -1)
        cv2.rectangle(infrared, (x, y), corner, float(random.uniform(10, 70)), -1)
    body = warm_body(height, width)
    visible[body], infrared[body] = (25, 20, 22), 220
    visible += random.normal(0, 3, visible.shape)
    infrared += random.normal(0, 2, infrared.shape)
    return visible.clip(0, 255).astype(np.uint8), infrared.clip(0, 255).astype(np.uint8)


def warm_body(height: int, width: int) -> tuple[slice, slice]:
    """Where `make_street` puts its warm body."""
    return slice(height // 2, height * 3 // 4), slice(width // 2, width // 2 + width // 12)


@pytest.fixture(scope="session")
def street() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return make_street


@pytest.fixture(scope="session")
def body() -> Callable[[int, int], tuple[slice, slice]]:
    return warm_body


@pytest.fixture(scope="session")
def adversarial() -> Callable[[int, int], dict[str, np.ndarray]]:
    """Frames (H, W, 3) in [0, 1], float64, that break careless arithmetic."""

    def make(height: int, width: int) -> dict[str, np.ndarray]:
        clear = make_street(height, width)[0] / 255
        noise = np.random.default_rng(3).random((height, width, 3))
        spots = np.zeros((height, width, 3))
        spots[:: height // 3 + 1, :: width // 3 + 1] = 1
        halves = np.zeros((height, width, 3))
        halves[:, width // 2 :] = 1
        return {
            "black": np.zeros((height, width, 3)),
            "white": np.ones((height, width, 3)),
            "constant": np.full((height, width, 3), 0.8),
            "pure red": np.broadcast_to([1.0, 0, 0], (height, width, 3)).copy(),
            "saturated half": halves,
            "dense haze": 0.03 * clear + 0.97 * 0.85,
            "faint contrast": 0.8 + 0.01 * (noise - 0.5),
            "single highlights": spots,
            "noise": noise,
            "street": clear,
            "dark street": 0.03 * clear,
        }

    return make


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visible, infrared and full coverage of one street-like pair, 160x120."""
    visible, infrared = make_street(120, 160)
    return visible, infrared, np.full_like(infrared, 255)
