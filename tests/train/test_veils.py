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


def test_smoke_is_dense_in_part_of_most_frames() -> None:
    t = v.smoke(DAY, seeded()).t.flatten(1)
    assert t.amin() > 0 and t.amax() <= 1
    assert ((t.amin(dim=1) < 0.5) & (t.amax(dim=1) > 0.9)).float().mean() > 0.4


def test_smoke_at_night_is_dim() -> None:
    assert v.smoke(NIGHT, seeded()).air.mean() < 0.5 * v.smoke(DAY, seeded()).air.mean()


def test_smoke_and_haze_combine_into_one_veil() -> None:
    far, near = v.smoke(DAY, seeded(1)), v.smoke(DAY, seeded(2))
    expected = d.haze(d.haze(DAY, *far), *near)
    torch.testing.assert_close(d.haze(DAY, *far.behind(near)), expected, rtol=0, atol=1e-4)


def test_night_fog_glows_around_lamps_in_their_colour() -> None:
    dark = lamp()
    air = v.night_air(dark, seeded())
    assert luma(air)[0, 0, 24:36, 34:46].mean() > luma(air)[0, 0, :10].mean() + 0.05
    beside, far = air[0, :, 26, 36], air[0, :, 2, 2]
    assert (beside[0] - beside[2]) > (far[0] - far[2]) + 0.01


def test_halos_surround_lamps_only() -> None:
    t = v.halos(lamp(), seeded()).t[0, 0]
    assert t[26, 40] < 0.95 and t[0, 0] > 0.99
    assert (v.halos(NIGHT, seeded()).t == 1).all()


@pytest.mark.parametrize("change", [v.with_sky, v.with_walls, v.with_lamps])
def test_white_areas_are_added_and_the_rest_is_kept(change) -> None:  # type: ignore[no-untyped-def]
    made = change(DAY * 0.8, seeded())
    white = made.amin(dim=1) > 0.85
    assert white.flatten(1).any(dim=1).float().mean() > 0.3
    assert ((made - DAY * 0.8).abs().amax(dim=1) < 0.02).float().mean() > 0.4


def test_added_white_is_not_haze() -> None:
    mixture = NEVER.model_copy(update={"white": 1.0})
    made = d.degrade(DAY, INFRARED, mixture, seeded())
    assert (made.t == 1).all()
    torch.testing.assert_close(made.visible, made.clear, rtol=0, atol=0.51 / 255)
    assert (made.clear != DAY).any(dim=1).flatten(1).any(dim=1).all()


def test_no_day_sky_is_added_at_night() -> None:
    made = v.with_white(NIGHT, seeded())
    blue = (made[:, 2] - made[:, 0] > 0.1) & (made[:, 0] > 0.4) & (made[:, 1] < 0.9)
    assert blue.float().mean() < 0.01


def test_automatic_gain_brightens_and_keeps_the_order_of_levels() -> None:
    cold = 0.2 * INFRARED
    made = d.automatic_gain(cold, seeded())
    assert (made.mean(dim=(1, 2, 3)) > 2 * cold.mean(dim=(1, 2, 3))).all() and made.amax() <= 1
    order = cold[0].flatten().argsort()
    assert (made[0].flatten()[order].diff() >= -1e-2).all()


def test_only_selected_items_change() -> None:
    where = torch.arange(24) % 3 == 0
    made = v.some(where, DAY, lambda image, random: 1 - image, seeded())
    assert torch.equal(made[~where], DAY[~where]) and torch.equal(made[where], 1 - DAY[where])
    assert v.some(0.0, DAY, lambda image, random: 1 - image, seeded()) is DAY
