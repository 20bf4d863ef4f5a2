"""The grid's kernels, run as plain Python, against the tensor operations that define them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fusecam.engines import physics
from fusecam.engines.backends.kernels import planes, prior, rows

sizes = st.tuples(st.integers(1, 19), st.integers(1, 23))


def plane(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(size, np.float32)


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x)[None, None]


@settings(deadline=None)
@given(sizes, st.sampled_from([1, 3, 5, 15, 31]))
def test_box_and_min_filter_match_physics(size: tuple[int, int], window: int) -> None:
    x, made, scratch = plane(size), np.zeros(size, np.float32), np.zeros(size, np.float32)
    planes.box(x, window, made, scratch)
    np.testing.assert_allclose(made, physics.box(tensor(x), window)[0, 0], atol=2e-6)
    planes.min_filter(x, window, made, scratch)
    np.testing.assert_array_equal(made, physics.min_filter(tensor(x), window)[0, 0])
    planes.box(x, window, x, scratch)  # into itself
    np.testing.assert_allclose(x, physics.box(tensor(plane(size)), window)[0, 0], atol=2e-6)


@settings(deadline=None)
@given(sizes)
def test_guided_coefficients_halve_and_enlarge_match_physics(size: tuple[int, int]) -> None:
    guide, target, made = plane(size), plane(size, 1), np.zeros((2, *size), np.float32)
    planes.guided_coefficients(guide, target, 5, np.float32(1e-3), made, np.zeros((4, *size), np.float32))
    for a, b in zip(made, physics.guided_coefficients(tensor(guide), tensor(target), 5, 1e-3), strict=True):
        np.testing.assert_allclose(a, b[0, 0], atol=2e-5)
    half = np.zeros((-(-size[0] // 2), -(-size[1] // 2)), np.float32)
    planes.halve(guide, half)
    np.testing.assert_allclose(half, physics.reduce(tensor(guide), 2)[0, 0], atol=1e-6)
    planes.enlarge(half, 2, made[0], np.zeros((2, *size), np.float32))
    np.testing.assert_allclose(made[0], physics.enlarge(tensor(half), 2, tensor(guide))[0, 0], atol=1e-6)


@pytest.mark.parametrize("size", [(30, 40), (120, 160)])
@pytest.mark.parametrize("plateau", [False, True])
def test_airlight_matches_physics(size: tuple[int, int], plateau: bool) -> None:
    colour = np.random.default_rng(3).random((3, *size), np.float32)
    dark = np.ascontiguousarray(physics.dark_channel(torch.from_numpy(colour)[None], 5)[0, 0])
    if plateau:
        dark[:9] = 0.7
    air, points, line = np.zeros(3, np.float32), np.zeros(physics.AIRLIGHT_GRID, np.float32), np.zeros(200, np.float32)
    top = physics.places(physics.BRIGHTEST)
    prior.airlight(dark, colour, top, np.float32(physics.ALIKE), points, line, air)
    np.testing.assert_allclose(air, physics.airlight(torch.from_numpy(colour)[None], tensor(dark)).flatten(), atol=1e-5)


def test_math_functions_are_close_to_numpy() -> None:
    x = np.linspace(-15, 15, 601).astype(np.float32)
    np.testing.assert_allclose([rows.exp(each) for each in x], np.exp(x.astype(float)), rtol=5e-5)
    np.testing.assert_allclose([rows.sigmoid(each) for each in x], expit(x.astype(float)), rtol=5e-5)
    np.testing.assert_allclose([rows.tanh(each) for each in x], np.tanh(x.astype(float)), atol=5e-5)
    light = np.linspace(0.02, 1, 300).astype(np.float32)
    np.testing.assert_allclose([rows.log(each) for each in light], np.log(light.astype(float)), atol=5e-6)
