"""The shared physics in half precision, on frames made to break it, against itself in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusecam.engines import physics

pytestmark = pytest.mark.slow

NAMES = [
    "black",
    "white",
    "constant",
    "pure red",
    "saturated half",
    "dense haze",
    "faint contrast",
    "single highlights",
    "noise",
    "street",
    "dark street",
]


def image_of(frame: np.ndarray) -> torch.Tensor:
    """Float64, but of values that half precision holds exactly: the arithmetic is tested, not the input's rounding."""
    return torch.from_numpy(frame).permute(2, 0, 1)[None].half().double()


@pytest.mark.parametrize("name", NAMES)
def test_haze_density_holds_in_float16(name: str, adversarial) -> None:
    image = image_of(adversarial(96, 128)[name])
    exact, exact_air = physics.haze_density(image, eps=1e-3)
    half, half_air = physics.haze_density(image.half(), eps=1e-3)
    assert half.isfinite().all()
    assert (half_air.double() - exact_air).abs().max() < 2e-3
    assert (half.double() - exact).abs().max() < 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_epsilon_of_the_paper_survives_in_residual_form(name: str, adversarial) -> None:
    image = image_of(adversarial(96, 128)[name])
    exact, _ = physics.haze_density(image, eps=1e-4)
    half, _ = physics.haze_density(image.half(), eps=1e-4)
    assert half.isfinite().all()
    assert (half.double() - exact).abs().max() < 2e-2


@pytest.mark.parametrize("name", NAMES)
def test_restoration_holds_in_float16(name: str, adversarial) -> None:
    image = image_of(adversarial(96, 128)[name])

    def restore(x: torch.Tensor) -> torch.Tensor:
        haze, air = physics.haze_density(x, eps=1e-3)
        return physics.recover(x, 1 - haze, air).clamp(0, 1)

    half = restore(image.half())
    assert half.isfinite().all()
    assert (half.double() - restore(image)).abs().mean() < 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_illumination_and_lift_hold_in_float16(name: str, adversarial) -> None:
    image = image_of(adversarial(96, 128)[name])
    exact, half = physics.illumination(image), physics.illumination(image.half())
    assert half.isfinite().all()
    assert (half.double() - exact).abs().max() < 5e-3
    gain = physics.lift_gain(half, 1.0)
    assert gain.isfinite().all()
    assert (gain.double() - physics.lift_gain(exact, 1.0)).abs().max() < 5e-2


def test_residual_form_keeps_contrast_that_moments_lose() -> None:
    """Deviation .01 about .9: box(g²) - box(g)² is rounding there, the residual's variance is not."""
    guide = (0.9 + 0.01 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))).half()
    raw = physics.box(guide * guide, 31) - physics.box(guide, 31) ** 2
    residual = physics.box((guide - physics.box(guide, 31)) ** 2, 31)
    true = physics.box((guide.double() - physics.box(guide.double(), 31)) ** 2, 31)
    assert ((raw.double() - true) / true).abs().max() > 0.5
    assert ((residual.double() - true) / true).abs().max() < 0.1
