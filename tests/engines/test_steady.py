"""Video: global quantities are steadied, starts afresh on cuts, and pictures on their own stay independent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusecam.engines import create_engine
from fusecam.engines.base import Fused, FusionEngine, Pixels
from fusecam.engines.networks.smoothing import STATE, Steady

FRAME_S = 0.04


def foggy(seed: int = 0, level: float = 205.0, height: int = 240, width: int = 320) -> Pixels:
    """A street-like picture in dense fog, with sensor noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    scene = 90 + 50 * np.sin(x / 11) * np.cos(y / 17) + 40 * ((x // 40 + y // 30) % 2)
    t = 0.08 + 0.4 * (y / height) ** 2
    image = np.stack([scene, 0.9 * scene, 0.7 * scene], axis=2) * t[..., None] + level * (1 - t[..., None])
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)


def warm(height: int = 240, width: int = 320) -> Pixels:
    thermal = np.full((height, width), 60, np.uint8)
    cv2.circle(thermal, (200, 150), 20, 220, -1)
    return thermal


def run(engine: FusionEngine, frame: Pixels, elapsed_s: float | None) -> Fused:
    return engine.fuse(frame, warm(), np.full(frame.shape[:2], 255, np.uint8), elapsed_s)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["physics:torch", "physics:openvino"])
def test_static_noisy_fog_does_not_flicker(spec: str) -> None:
    engine = create_engine(spec)
    means = [run(engine, foggy(seed), FRAME_S if seed else None).image.mean() for seed in range(12)]
    assert np.abs(np.diff(means)).max() < 0.5


def test_single_images_do_not_depend_on_earlier_ones() -> None:
    engine = create_engine("physics:torch")
    alone = run(engine, foggy(1), None).image
    run(engine, foggy(2, level=160), None)
    run(engine, foggy(3), FRAME_S)
    assert np.array_equal(run(engine, foggy(1), None).image, alone)


@pytest.mark.slow
def test_cut_resets_the_smoothing() -> None:
    engine = create_engine("physics:torch")
    for seed in range(4):
        run(engine, foggy(seed), FRAME_S)
    night = (foggy(9) // 6).astype(np.uint8)
    fresh = run(create_engine("physics:torch"), night, None).image
    assert np.array_equal(run(engine, night, FRAME_S).image, fresh)


@pytest.mark.parametrize("elapsed_s", [None, 0.0, -1.0, 2.5, float("nan")])
def test_gaps_and_unknown_times_reset_the_smoothing(elapsed_s: float | None) -> None:
    steady = Steady()
    steady.prior(foggy(), FRAME_S)
    steady.keep(np.full(STATE, 0.8, np.float32))
    assert steady.prior(foggy(), elapsed_s)[-1] == 0


def test_weight_falls_with_the_time_between_frames() -> None:
    steady = Steady()
    steady.prior(foggy(), FRAME_S)
    state = np.linspace(0.1, 0.9, STATE, dtype=np.float32)
    steady.keep(state)
    prior = steady.prior(foggy(1), FRAME_S)
    assert prior[:-1].tolist() == pytest.approx(state.tolist())
    assert prior[-1] == pytest.approx(np.exp(-0.04))
    assert steady.prior(foggy(2), 0.5)[-1] == pytest.approx(np.exp(-0.5))
