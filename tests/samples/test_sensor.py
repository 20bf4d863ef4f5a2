"""Fog, glow and noise obey the laws that the samples' README states."""

from __future__ import annotations

import numpy as np
import pytest

from fusecam.samples.scene import SCENES
from fusecam.samples.sensor import COLD, HOT, ThermalSensor, halo, photograph, scatter, thermal_through_air

DAY, NIGHT = SCENES["fog_day"], SCENES["fog_night"]


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_day_fog_follows_the_scattering_model(t: float) -> None:
    clear = np.random.default_rng(0).uniform(0, 1, (8, 12, 3)).astype(np.float32)
    hazy = scatter(clear, np.full((8, 12), t, np.float32), DAY)
    assert np.allclose(hazy, clear * t + np.array(DAY.air.airlight) * (1 - t), atol=1e-6)


def test_night_glow_only_adds_light_around_clipped_areas() -> None:
    dim = np.full((64, 96, 3), 0.8, np.float32)
    assert not halo(dim, fog=True).any()
    lamp = dim.copy()
    lamp[30:34, 46:50] = 30.0
    near, far = halo(lamp, fog=True)[32, 48], halo(lamp, fog=True)[32, 80]
    assert (near > far).all() and (far > 0).all()
    assert (halo(lamp, fog=True)[32, 80] > halo(lamp, fog=False)[32, 80]).all()


@pytest.mark.parametrize("night", [False, True])
def test_noise_is_relatively_larger_in_the_dark(night: bool) -> None:
    def ratio(level: float) -> float:
        image = np.full((120, 160, 3), level, np.float32)
        noisy = (photograph(image, night, np.random.default_rng(3)) / 255.0) ** 2.2
        return float(noisy.std() / level)

    assert ratio(0.05) > 1.5 * ratio(0.5) > 0
    flat = photograph(np.full((4, 4, 3), 0.5, np.float32), night, None)
    assert (flat == round(255 * 0.5 ** (1 / 2.2))).all()


def test_infrared_fog_approaches_air_temperature_and_people_stay_warm_at_20_m() -> None:
    air = DAY.air
    celsius = np.array([30.0, 30.0, -8.0], np.float32)
    seen = thermal_through_air(celsius, np.array([0.0, 20.0, np.inf], np.float32), air)
    assert seen[0] == pytest.approx(30) and air.celsius < seen[1] < 30 and seen[1] - air.celsius > 12
    assert abs(seen[2] - air.celsius) < 1.0
    assert np.exp(-air.beta_visible * 20) < 0.3


def test_thermal_levels_span_a_fixed_range() -> None:
    sensor = ThermalSensor((64, 48), seed=1)
    rng = np.random.default_rng(2)
    for celsius, level in ((COLD, 0), ((COLD + HOT) / 2, 127.5), (HOT, 255)):
        image = sensor.read(np.full((48, 64), celsius, np.float32), rng)
        assert image.dtype == np.uint8 and abs(float(image.mean()) - level) < 1.5
