import numpy as np
import pytest

from fusecam.train.metrics import flat_areas, noise_deviation, noise_ratio

RNG = np.random.default_rng(5)
EVERYWHERE = np.ones((200, 240), bool)


def noisy(sd, level=120.0):
    return np.round(level + RNG.normal(0, sd, EVERYWHERE.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("sd", [2.0, 5.0, 15.0])
def test_noise_deviation_equals_that_of_added_noise(sd):
    assert noise_deviation(noisy(sd), EVERYWHERE) == pytest.approx(sd, rel=0.03)


def test_axis_aligned_ramps_and_steps_are_not_noise():
    ramp = np.add.outer(np.arange(200), np.arange(240)).clip(0, 255).astype(np.uint8)
    assert noise_deviation(ramp[:100, :100], EVERYWHERE[:100, :100]) == 0
    step = np.zeros((100, 100), np.uint8)
    step[:, 50:] = 200
    assert noise_deviation(step, EVERYWHERE[:100, :100]) == 0


def test_noise_ratio_equals_the_amplification():
    source = noisy(3)
    amplified = (120 + (source.astype(float) - 120) * 4).clip(0, 255).astype(np.uint8)
    assert noise_ratio(source, amplified, EVERYWHERE) == pytest.approx(4, rel=0.01)


def test_noiseless_source_counts_its_rounding_noise():
    clean = np.full(EVERYWHERE.shape, 120, np.uint8)
    assert noise_ratio(clean, noisy(2), EVERYWHERE) == pytest.approx(2 * 12**0.5, rel=0.05)
    assert noise_ratio(clean, clean, EVERYWHERE) == 0


def test_flat_areas_exclude_structure_and_clipped_levels():
    visible, infrared = noisy(1), noisy(1)
    visible[:, 100:110] = 250
    infrared[40:60] = 10
    visible[150:] = 0
    flat = flat_areas(visible, infrared)
    assert flat.mean() > 0.05
    assert not flat[:, 99].any()
    assert not flat[40].any()
    assert not flat[158:].any()


def test_noise_is_undefined_without_flat_areas():
    white = np.full((50, 50), 255, np.uint8)
    assert np.isnan(noise_ratio(white, white, flat_areas(white, white)))
