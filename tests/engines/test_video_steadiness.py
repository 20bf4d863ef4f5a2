"""Video on every engine: static scenes do not flicker, pans do not pump."""

from __future__ import annotations

import numpy as np
import pytest

from fusecam.engines import create_engine
from fusecam.engines.base import FusionEngine, Pixels

pytestmark = pytest.mark.slow

FRAME_S = 0.04
LUMA = np.array([0.299, 0.587, 0.114])
NAMES = ["physics", "realtime", "tiny"]
CONDITIONS = ["clear", "haze", "dark", "dark haze"]


def degraded(visible: Pixels, condition: str, noise: np.random.Generator) -> Pixels:
    """The frame as a camera sees it, with sensor noise of 2 grey levels."""
    values = visible / 255
    if "dark" in condition:
        values = 0.2 * values
    if "haze" in condition:
        values = 0.35 * values + 0.65 * (0.45 if "dark" in condition else 0.8)
    return ((values + noise.normal(0, 2 / 255, values.shape)).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def means(engine: FusionEngine, frames: list[tuple[Pixels, Pixels]]) -> np.ndarray:
    """Mean fused luminance of a video, in grey levels."""
    found = []
    for index, (visible, infrared) in enumerate(frames):
        fused = engine.fuse(visible, infrared, np.full_like(infrared, 255), FRAME_S if index else None)
        found.append((fused.image @ LUMA).mean())
    return np.array(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_static_noisy_scene_does_not_flicker(street, name: str, condition: str) -> None:
    visible, infrared = street(240, 320)
    noise = np.random.default_rng(1)
    frames = []
    for _ in range(15):
        warm = (infrared + noise.normal(0, 1.5, infrared.shape)).clip(0, 255).astype(np.uint8)
        frames.append((degraded(visible, condition, noise), warm))
    assert np.abs(np.diff(means(create_engine(name), frames))).max() < 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_panning_does_not_pump_brightness(street, name: str, condition: str) -> None:
    """While new scenery comes in at 6 pixels a frame, what stays in view changes by less than 2 % a frame."""
    visible, infrared = street(240, 640)
    noise = np.random.default_rng(2)
    engine = create_engine(name)
    before = None
    for shift in range(0, 300, 6):
        window = np.s_[:, shift : shift + 320]
        thermal = np.ascontiguousarray(infrared[window])
        pair = degraded(visible[window], condition, noise), thermal, np.full_like(thermal, 255)
        fused = engine.fuse(*pair, FRAME_S if shift else None).image @ LUMA
        if before is not None:
            assert abs(fused[:, :-6].mean() - before[:, 6:].mean()) < 0.02 * before.mean()
        before = fused
