"""The shared physics against plain float64 references."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fusecam.engines import physics

RANDOM = np.random.default_rng(1)


def tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, C) to (1, C, H, W) float64."""
    return torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).copy())[None]


def array(x: torch.Tensor) -> np.ndarray:
    return x[0].numpy().transpose(1, 2, 0).squeeze()


def reference_box(x: np.ndarray, window: int) -> np.ndarray:
    def total(y: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(y, -1, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT)

    return total(x) / total(np.ones_like(x))


def reference_guided(guide: np.ndarray, target: np.ndarray, window: int, eps: float) -> np.ndarray:
    """He, Sun, Tang: Guided image filtering, algorithm 1, with moments about the mean around each pixel."""
    mean_i, mean_p = reference_box(guide, window), reference_box(target, window)
    i, p = guide - mean_i, target - mean_p
    a = reference_box(i * p, window) / (reference_box(i * i, window) + eps)
    return reference_box(a, window) * guide + reference_box(mean_p - a * mean_i, window)


@pytest.mark.parametrize("window", [3, 10, 15])
@pytest.mark.parametrize("size", [(40, 50), (9, 7), (33, 64)])
def test_dark_channel_is_the_minimum_over_channels_and_window(size: tuple[int, int], window: int) -> None:
    image = RANDOM.random((*size, 3))
    anchor = (window // 2, window // 2)
    kernel = np.ones((window, window), np.uint8)
    expected = cv2.erode(image.min(axis=2), kernel, anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=9.0)
    np.testing.assert_array_equal(array(physics.dark_channel(tensor(image), window)), expected)


@pytest.mark.parametrize("window", [3, 15, 61])
@pytest.mark.parametrize("size", [(40, 50), (8, 8), (33, 64)])
def test_box_filter_averages_pixels_inside_the_image(size: tuple[int, int], window: int) -> None:
    image = RANDOM.random(size)
    np.testing.assert_allclose(array(physics.box(tensor(image), window)), reference_box(image, window), atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 4]))
def test_reduce_averages_tiles_including_partial_ones(height: int, width: int, factor: int) -> None:
    image = np.random.default_rng(height * 31 + width).random((height, width))
    tiles = [
        [image[y : y + factor, x : x + factor].mean() for x in range(0, width, factor)]
        for y in range(0, height, factor)
    ]
    np.testing.assert_allclose(physics.reduce(tensor(image), factor)[0, 0].numpy(), tiles, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(40, 48), (37, 51), (5, 3)])
def test_enlarge_is_cropped_bilinear_resizing(size: tuple[int, int], factor: int) -> None:
    small = torch.rand(2, 3, -(-size[0] // factor), -(-size[1] // factor), dtype=torch.float64)
    expected = F.interpolate(small, scale_factor=float(factor), mode="bilinear", align_corners=False)
    result = physics.enlarge(small, factor, torch.empty(2, 1, *size))
    torch.testing.assert_close(result, expected[..., : size[0], : size[1]], rtol=0, atol=1e-6)


def test_airlight_is_the_mean_of_the_brightest_dark_channel() -> None:
    image = RANDOM.random((*physics.AIRLIGHT_GRID, 3))
    dark = array(physics.dark_channel(tensor(image), 5))
    count = round(1e-3 * dark.size)
    order = np.argsort(dark.ravel(), kind="stable")[-count:]
    weights = np.clip(
        (dark.ravel() - dark.ravel()[order[0]]) * 1024 + 2, 0, 1
    )  # and those nearly as bright as the last
    assert (weights > 0).sum() > count
    expected = np.average(image.reshape(-1, 3), axis=0, weights=weights)
    air = physics.airlight(tensor(image), tensor(dark))
    np.testing.assert_allclose(air.flatten().numpy(), expected, atol=1e-12)


def test_airlight_averages_all_equally_dark_pixels() -> None:
    """Otherwise the order in which a backend sorts would choose it."""
    image = np.full((*physics.AIRLIGHT_GRID, 3), 0.2)
    image[:24] = 0.8
    image[:24, ::2, 0] = 0.9
    dark = array(physics.dark_channel(tensor(image), 5))
    air = physics.airlight(tensor(image), tensor(dark)).flatten().numpy()
    seen = image[dark > 0.7]
    assert len(seen) > 1000
    np.testing.assert_allclose(air, seen.mean(axis=0), atol=1e-12)


def test_transmission_follows_equation_3() -> None:
    image, air = RANDOM.random((30, 40, 3)), np.array([0.9, 0.8, 0.85])
    dark = cv2.erode(
        (image / air).min(axis=2), np.ones((15, 15), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=9
    )
    expected = np.clip(1 - 0.95 * dark, 0, 1)
    result = physics.transmission(tensor(image), torch.from_numpy(air).reshape(1, 3, 1, 1))
    np.testing.assert_allclose(array(result), expected, atol=1e-12)


def test_black_airlight_means_no_haze() -> None:
    assert physics.transmission(torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 1, 1)).eq(1).all()


@pytest.mark.parametrize(("window", "eps"), [(15, 1e-3), (61, 1e-4), (5, 1e-2)])
def test_guided_filter_is_the_published_one_about_local_means(window: int, eps: float, street) -> None:
    guide = cv2.cvtColor(street(80, 100)[0], cv2.COLOR_RGB2GRAY) / 255
    target = RANDOM.random((80, 100))
    result = physics.guided_filter(tensor(guide), tensor(target), window, eps)
    np.testing.assert_allclose(array(result), reference_guided(guide, target, window, eps), atol=1e-9)


def test_guided_filter_keeps_edges_and_smooths_the_rest() -> None:
    guide = np.zeros((60, 60))
    guide[:, 30:] = 1
    target = 0.3 + 0.5 * guide + RANDOM.normal(0, 0.02, guide.shape)
    result = array(physics.guided_filter(tensor(guide), tensor(target), 15, 1e-3))
    assert abs(result[:, :28].mean() - 0.3) < 0.01
    assert abs(result[:, 32:].mean() - 0.8) < 0.01
    assert result[:, 31].mean() - result[:, 28].mean() > 0.48
    assert result[:, :20].std() < 0.005


def test_fast_guided_filter_is_near_the_full_one(street) -> None:
    guide = cv2.GaussianBlur(street(96, 128)[0].mean(axis=2) / 255, (0, 0), 2)
    target = cv2.GaussianBlur(RANDOM.random((96, 128)), (0, 0), 3)
    full = physics.guided_filter(tensor(guide), tensor(target), 61, 1e-3)
    fast = physics.fast_guided_filter(tensor(guide), tensor(target), 15, 1e-3, factor=4)
    assert (full - fast).abs().mean() < 0.01


@given(st.floats(0.15, 1), st.floats(0.3, 1))
def test_recover_inverts_the_scattering_model(t: float, air: float) -> None:
    clear = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    a, depth = torch.full((1, 3, 1, 1), air, dtype=torch.float64), torch.full((1, 1, 6, 8), t, dtype=torch.float64)
    torch.testing.assert_close(physics.recover(clear * depth + a * (1 - depth), depth, a), clear)


def test_haze_density_follows_the_paper(street) -> None:
    image = 0.4 * street(*physics.AIRLIGHT_GRID)[0] / 255 + 0.6 * 0.8
    kernel = np.ones((15, 15), np.uint8)

    def dark(x: np.ndarray) -> np.ndarray:
        return cv2.erode(x.min(axis=2), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=9)

    haze, air = physics.haze_density(tensor(image))
    rough = np.clip(1 - 0.95 * dark(image / air.flatten().numpy()), 0, 1)
    expected = 1 - np.clip(reference_guided(image.mean(axis=2), rough, 61, 1e-4), 0, 1)
    np.testing.assert_allclose(array(haze), expected, atol=1e-9)
    assert expected.mean() == pytest.approx(0.6 * 0.8 / air.mean().item(), abs=0.15)


def test_illumination_of_a_constant_frame_is_its_brightest_channel() -> None:
    image = torch.tensor([0.2, 0.6, 0.4]).reshape(1, 3, 1, 1).expand(1, 3, 61, 45)
    torch.testing.assert_close(physics.illumination(image), torch.full((1, 1, 61, 45), 0.6), rtol=0, atol=1e-5)


@given(st.floats(0, 1), st.floats(0, 1))
def test_lift_gain_never_darkens_is_bounded_and_keeps_lamps_below_clipping(light: float, strength: float) -> None:
    gain = physics.lift_gain(torch.full((1, 1, 1, 1), light, dtype=torch.float64), strength).item()
    assert 1 - 1e-9 <= gain <= 5.1
    assert gain * light <= 1 + 1e-9


def test_everything_is_differentiable(street) -> None:
    image = (torch.from_numpy(street(48, 64)[0]).permute(2, 0, 1)[None].double() / 255).requires_grad_()
    haze, air = physics.haze_density(image)
    light = physics.illumination(image)
    (physics.recover(image, 1 - haze, air) * physics.lift_gain(light, 0.7)).square().mean().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    assert image.grad.abs().max() > 0
