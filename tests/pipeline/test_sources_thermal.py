"""Raw infrared counts to 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fusecam.pipeline.config import ThermalConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources.pixels.thermal import ThermalMapper

S = 1_000_000_000


def scene(seed: int = 0, low: int = 7000, high: int = 9000) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (120, 160)).astype(np.uint16)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(6000, 0), (7000, 0), (7500, 64), (8000, 128), (8999, 255), (9000, 255), (60000, 255)],
)
def test_fixed_range_is_linear_and_clipped(raw, expected):
    mapper = ThermalMapper(ThermalConfig(range=(7000, 9000)))
    assert mapper.map(np.full((4, 4), raw, np.uint16), 0)[0, 0] == expected
    assert mapper.range == (7000, 9000)


@settings(max_examples=60, deadline=None)
@given(
    raw=hnp.arrays(
        st.sampled_from([np.uint16, np.int32, np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    ),
    fixed=st.booleans(),
)
def test_any_frame_is_mapped_monotonically(raw, fixed):
    """Whatever the counts: uint8, the same shape, and what is hotter is never shown darker."""
    shown = ThermalMapper(ThermalConfig(range=(-100, 40_000) if fixed else None)).map(raw, 0)
    assert shown.dtype == np.uint8
    assert shown.shape == raw.shape
    finite = np.isfinite(raw)
    order = np.argsort(raw[finite], kind="stable")
    assert np.all(np.diff(shown[finite][order].astype(int)) >= 0)


@pytest.mark.parametrize("value", [0, 1, 30_000, 65_535])
def test_frame_without_contrast_is_mid_grey(value):
    assert set(np.unique(ThermalMapper(ThermalConfig()).map(np.full((64, 64), value, np.uint16), 0))) == {128}


def test_percentiles_cut_outliers():
    raw = scene()
    raw[0, 0] = 65_535
    mapper = ThermalMapper(ThermalConfig(percentiles=(1, 99)))
    shown = mapper.map(raw, 0)
    low, high = mapper.range or (0, 0)
    assert (low, high) == pytest.approx((7020, 8980), abs=25)
    assert shown.min() == 0
    assert np.mean(shown == 255) < 0.03


def test_range_follows_with_the_time_constant():
    """One time constant after a step, 1 - 1/e of it: in one frame or in a hundred."""
    for frames in (1, 100):
        mapper = ThermalMapper(ThermalConfig(smoothing_s=2.0, percentiles=(0, 100)))
        mapper.map(np.array([[0, 1000]], np.uint16), 0)
        for index in range(1, frames + 1):
            mapper.map(np.array([[0, 2000]], np.uint16), 2 * S * index // frames)
        assert mapper.range == pytest.approx((0, 1000 + 1000 * (1 - np.exp(-1))), abs=0.01)


def test_hot_object_entering_does_not_pump_the_scene():
    mapper, cold = ThermalMapper(ThermalConfig()), scene()
    before = mapper.map(cold, 0).astype(int)
    hot = cold.copy()
    hot[:40] = 30_000
    after = mapper.map(hot, S // 25).astype(int)
    assert np.abs(after[40:] - before[40:]).mean() < 50
    assert after[:40].min() == 255


def test_zero_time_constant_disables_smoothing():
    mapper = ThermalMapper(ThermalConfig(smoothing_s=0, percentiles=(0, 100)))
    mapper.map(scene(), 0)
    mapper.map(np.array([[5, 6]], np.uint16), 1)
    assert mapper.range == (5, 6)


@pytest.mark.parametrize(("back_ns", "fresh"), [(S // 2, False), (5 * S, True)])
def test_only_a_large_jump_back_in_time_resets_the_range(back_ns, fresh):
    mapper = ThermalMapper(ThermalConfig(percentiles=(0, 100)))
    mapper.map(np.array([[0, 1000]], np.uint16), 10 * S)
    mapper.map(np.array([[0, 2000]], np.uint16), 10 * S - back_ns)
    assert mapper.range == ((0, 2000) if fresh else (0, 1000))


def test_missing_pixels_of_a_float_image_are_shown_coldest():
    raw = np.linspace(10, 40, 400, dtype=np.float32).reshape(20, 20)
    raw[3, 4] = np.nan
    shown = ThermalMapper(ThermalConfig()).map(raw, 0)
    assert shown[3, 4] == 0
    assert (shown[0, 0], shown[-1, -1]) == (0, 255)


@pytest.mark.parametrize(
    "settings_",
    [
        {"range": (9, 9)},
        {"range": (9, 1)},
        {"percentiles": (99, 1)},
        {"percentiles": (-1, 50)},
        {"percentiles": (5, 101)},
    ],
)
def test_invalid_range_settings_are_refused(settings_):
    with pytest.raises(InputError, match=f"thermal.{next(iter(settings_))}: "):
        ThermalMapper(ThermalConfig(**settings_))
