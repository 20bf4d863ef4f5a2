"""Haze that is local, and white that is none."""

import pytest
import torch

from fusecam.engines.networks.io import luma
from fusecam.train import degrade as d
from fusecam.train import veils as v

from .test_degrade import NEVER, pairs, seeded

DAY, INFRARED = pairs(24)
NIGHT = 0.1 * DAY


def lamp() -> torch.Tensor:
    dark = torch.zeros(1, 3, 60, 80)
    dark[:, :, 28:32, 38:42] = torch.tensor([1, 0.9, 0.7])[None, :, None, None]
    return dark


def test_smoke_is_dense_in_a_part_of_most_frames_and_leaves_the_rest_clear() -> None:
    t = v.smoke(DAY, seeded()).t.flatten(1)
    assert t.amin() > 0 and t.amax() <= 1
    assert ((t.amin(dim=1) < 0.5) & (t.amax(dim=1) > 0.9)).float().mean() > 0.4


def test_smoke_by_night_is_dim() -> None:
    assert v.smoke(NIGHT, seeded()).air.mean() < 0.5 * v.smoke(DAY, seeded()).air.mean()


def test_smoke_behind_haze_is_one_veil_of_the_same_effect() -> None:
    far, near = v.smoke(DAY, seeded(1)), v.smoke(DAY, seeded(2))
    expected = d.haze(d.haze(DAY, *far), *near)
    torch.testing.assert_close(d.haze(DAY, *far.behind(near)), expected, rtol=0, atol=1e-4)


def test_fog_by_night_glows_around_lamps_in_their_colour() -> None:
    dark = lamp()
    air = v.night_air(dark, seeded())
    assert luma(air)[0, 0, 24:36, 34:46].mean() > luma(air)[0, 0, :10].mean() + 0.05
    beside, far = air[0, :, 26, 36], air[0, :, 2, 2]
    assert (beside[0] - beside[2]) > (far[0] - far[2]) + 0.01


def test_halos_are_around_lamps_alone() -> None:
    t = v.halos(lamp(), seeded()).t[0, 0]
    assert t[26, 40] < 0.95 and t[0, 0] > 0.99
    assert (v.halos(NIGHT, seeded()).t == 1).all()


@pytest.mark.parametrize("change", [v.with_sky, v.with_walls, v.with_lamps])
def test_white_is_added_and_the_rest_stays(change) -> None:  # type: ignore[no-untyped-def]
    made = change(DAY * 0.8, seeded())
    white = made.amin(dim=1) > 0.85
    assert white.flatten(1).any(dim=1).float().mean() > 0.3
    assert ((made - DAY * 0.8).abs().amax(dim=1) < 0.02).float().mean() > 0.4


def test_white_that_is_added_is_no_haze() -> None:
    mixture = NEVER.model_copy(update={"white": 1.0})
    made = d.degrade(DAY, INFRARED, mixture, seeded())
    assert (made.t == 1).all()
    torch.testing.assert_close(made.visible, made.clear, rtol=0, atol=0.51 / 255)
    assert (made.clear != DAY).any(dim=1).flatten(1).any(dim=1).all()


def test_no_day_sky_is_drawn_by_night() -> None:
    made = v.with_white(NIGHT, seeded())
    blue = (made[:, 2] - made[:, 0] > 0.1) & (made[:, 0] > 0.4) & (made[:, 1] < 0.9)
    assert blue.float().mean() < 0.01


def test_automatic_gain_is_bright_everywhere_and_keeps_the_order_of_levels() -> None:
    cold = 0.2 * INFRARED
    made = d.automatic_gain(cold, seeded())
    assert (made.mean(dim=(1, 2, 3)) > 2 * cold.mean(dim=(1, 2, 3))).all() and made.amax() <= 1
    order = cold[0].flatten().argsort()
    assert (made[0].flatten()[order].diff() >= -1e-2).all()


def test_only_the_drawn_items_change() -> None:
    where = torch.arange(24) % 3 == 0
    made = v.some(where, DAY, lambda image, random: 1 - image, seeded())
    assert torch.equal(made[~where], DAY[~where]) and torch.equal(made[where], 1 - DAY[where])
    assert v.some(0.0, DAY, lambda image, random: 1 - image, seeded()) is DAY
