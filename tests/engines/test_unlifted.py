"""The fused frame without lift, which detectors get: what it holds, and that every way of making it is the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fusecam.engines import create_engine
from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.build.parity import Parity, compare
from fusecam.engines.networks import checkpoints, realtime
from fusecam.engines.networks.average import Average
from fusecam.engines.networks.realtime_constants import LUMA, SHARE, WARMER
from fusecam.engines.registry import NETWORKS, UNLIFTED
from fusecam.engines.warp import Shape

pytestmark = pytest.mark.slow

LEVEL = 1.0
"""Grey levels by which rounding may differ."""


def luma(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) @ np.array(LUMA)


@pytest.fixture
def night(street) -> tuple[np.ndarray, np.ndarray]:
    visible, infrared = street(120, 160)
    return (visible * 0.15 + 0.5).astype(np.uint8), infrared


@pytest.mark.parametrize("name", UNLIFTED)
def test_unlifted_frame_is_the_mean_of_both_cameras_plus_warm_contrast(night, name: str) -> None:
    visible, infrared = night
    coverage = np.zeros_like(infrared)
    coverage[:, 40:] = 255
    fused = create_engine(name, dehaze=0, unlifted=True).fuse(visible, infrared, coverage)
    dark = fused.unlifted
    assert dark is not None and fused.to_detect is dark
    assert fused.image.mean() > dark.mean() + 10  # that one was lifted
    np.testing.assert_allclose(dark[:, :40], visible[:, :40], atol=LEVEL)
    thermal, valid = (torch.from_numpy(each / 255)[None, None] for each in (infrared, coverage))
    thermal = realtime.without_floor(thermal, realtime.floor_of(thermal, valid))
    # 120 pixels of a frame of 640x480 (`tiny`: 144) are a quarter of that here
    around = realtime.surroundings(thermal, valid, {"realtime": 31, "tiny": 37}[name])
    heat, mean = (each[0, 0].numpy() * 255 for each in (thermal, around))
    tint = (heat - luma(visible))[..., None] * [0.1, -0.05, 0]
    expected = 0.5 * visible + (0.5 * heat + 0.3 * (heat - mean))[..., None] + tint
    difference = np.abs(dark - expected.clip(0, 255))[:, 40:]
    assert difference.mean() < 2 * LEVEL  # the mean is that of a coarser grid
    assert difference.max() < 25
    whole = (dark.max(2) < 255) & (dark.min(2) > 0)  # where nothing was cut off, half of the visible frame's chroma
    whole[:, :40] = False
    shift = dark - 0.5 * visible - tint
    assert np.ptp(shift, axis=2)[whole].max() <= 2 * LEVEL


@pytest.mark.parametrize("name", UNLIFTED)
def test_people_darker_than_the_wall_behind_them_stand_out(name: str) -> None:
    """In infrared they are above what surrounds them, though below the visible frame's luma."""
    random = np.random.default_rng(0)
    visible = np.clip(random.normal(150, 3, (240, 320, 1)), 0, 255).astype(np.uint8).repeat(3, 2)
    infrared = np.full((240, 320), 30, np.uint8)
    person = np.zeros_like(infrared, bool)
    person[90:150, 150:170] = True
    infrared[person] = 110
    fused = create_engine(name, dehaze=0, unlifted=True).fuse(visible, infrared, np.full_like(infrared, 255))
    far = np.hypot(*np.meshgrid(np.arange(320) - 160, np.arange(240) - 120)) > 110
    more = luma(fused.to_detect) - 0.5 * luma(visible)
    assert np.abs(more[far] - 0.5 * 30).max() < 3 * LEVEL
    expected = (SHARE + WARMER) * 80
    assert 0.85 * expected < more[person].mean() - 0.5 * 30 < 1.05 * expected


@pytest.mark.parametrize("name", UNLIFTED)
def test_contrast_cancelled_in_luma_is_kept_as_tint(name: str) -> None:
    """Dark in visible and warm in infrared by as much: red against its surroundings, of the same luma."""
    visible = np.full((240, 320, 3), 140, np.uint8)
    infrared = np.full((240, 320), 60, np.uint8)
    legs = np.zeros_like(infrared, bool)
    legs[90:150, 150:170] = True
    share = SHARE / (SHARE + WARMER)
    visible[legs], infrared[legs] = 140 - 80, 60 + round(80 * share)
    fused = create_engine(name, dehaze=0, unlifted=True).fuse(visible, infrared, np.full_like(infrared, 255)).to_detect
    inside, outside = (fused[where].astype(float).mean(0) for where in (legs, ~legs))
    assert abs(luma((inside - outside)[None])[0]) < 5 * LEVEL  # some of the legs is in what surrounds them
    assert (inside - outside)[0] - (inside - outside)[1] > 0.12 * (80 + round(80 * share))


def test_surroundings_are_the_mean_of_valid_pixels() -> None:
    random = np.random.default_rng(1)
    thermal, valid = random.random((40, 50)), np.zeros((40, 50))
    valid[:, 12:] = 1
    sums = (cv2.blur(each, (9, 9), borderType=cv2.BORDER_CONSTANT) for each in (thermal * valid, valid))
    total, count = (np.where(each < 1e-9, 0, each) for each in sums)
    expected = total / np.maximum(count, 1e-9)
    given = (torch.from_numpy(each)[None, None] for each in (thermal, valid))
    found = realtime.surroundings(*given, 9)[0, 0].numpy()
    np.testing.assert_allclose(found[:, 9:], expected[:, 9:], atol=1e-9)  # with a ninth of the window valid, and more
    assert (found[:, :8] == 0).all()


@pytest.mark.parametrize("name", UNLIFTED)
def test_lift_does_not_change_the_unlifted_frame(night, name: str) -> None:
    visible, infrared = night
    given = visible, infrared, np.full_like(infrared, 255)
    least, most = (create_engine(name, lift=lift, unlifted=True).fuse(*given) for lift in (0.0, 1.0))
    assert most.image.mean() > least.image.mean() + 4
    np.testing.assert_allclose(least.to_detect, most.to_detect, atol=LEVEL)


def test_unlifted_frame_is_dehazed(street) -> None:
    visible, infrared = street(240, 320)
    given = (visible * 0.3 + 255 * 0.85 * 0.7 + 0.5).astype(np.uint8)
    dark = create_engine("realtime", unlifted=True).fuse(given, infrared, np.zeros_like(infrared)).to_detect
    assert np.abs(dark.astype(int) - visible).mean() < 0.6 * np.abs(given.astype(int) - visible).mean()


@pytest.mark.parametrize("name", UNLIFTED)
@pytest.mark.parametrize("size", [(121, 163), (240, 320)])
def test_compiled_unlifted_frame_equals_torch(street, name: str, size: tuple[int, int]) -> None:
    visible, infrared = street(*size)
    given = (visible // 2 + 100).astype(np.uint8), infrared, np.full_like(infrared, 255)
    expected = create_engine(f"{name}:torch", unlifted=True).fuse(*given)
    found, without = (create_engine(f"{name}:openvino:f32", unlifted=both).fuse(*given) for both in (True, False))
    assert expected.unlifted is not None and found.unlifted is not None and without.unlifted is None
    np.testing.assert_allclose(found.unlifted, expected.unlifted, atol=2 * LEVEL)
    assert without.to_detect is without.image
    for field in ("image", "restored", "haze_density", "illumination", "infrared"):
        np.testing.assert_allclose(getattr(found, field), getattr(without, field), atol=2 * LEVEL, err_msg=field)


def test_networks_without_unlifted_frame_use_the_fused_one(night) -> None:
    visible, infrared = night
    for name in set(NETWORKS) - set(UNLIFTED):
        fused = create_engine(name, unlifted=True).fuse(visible, infrared, np.full_like(infrared, 255))
        assert fused.unlifted is None and fused.to_detect is fused.image


def test_adversarial_frames_stay_finite_and_in_half_precision_near_single(adversarial) -> None:
    single, half = checkpoints.load("realtime"), checkpoints.load("realtime").half()
    single.unlifted = half.unlifted = True
    auto = -torch.ones(1, 1, 1, 1)
    for name, frame in adversarial(120, 160).items():
        colour = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        given = colour, colour[:, :1].clone(), torch.ones(1, 1, 120, 160), auto, auto
        with torch.no_grad():
            exact, near = single.fuse(*given).unlifted, half.fuse(*(x.half() for x in given)).unlifted
        assert exact.isfinite().all() and near.isfinite().all(), name
        assert (exact.clamp(0, 1) - near.float().clamp(0, 1)).abs().mean() < 0.02, name


class Unlike(Average):
    """The average with a frame for the detector that is brighter by some levels."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more, self.unlifted = more, True

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        *images, state = super().forward(visible, infrared, coverage, controls)
        return *images, (images[0].int() + self.more).clamp(0, 255).to(torch.uint8), state


def test_engine_with_a_different_unlifted_frame_is_refused() -> None:
    same, other = (EagerEngine("average", Unlike(more)).run for more in (0, 8))
    parity = compare(same, other, "f32", Shape.of(64, 48))
    assert parity.failed == ["unlifted"] and "unlifted 30.1 dB" in str(parity)
    assert all(frame.outputs["fused"] == 99 for frame in parity.frames)
    assert Parity.from_dict(parity.as_dict()) == parity
    assert compare(same, same, "f32", Shape.of(64, 48)).passed
