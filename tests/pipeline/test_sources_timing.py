"""Stored timestamps to strictly increasing capture times."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusecam.pipeline.sources.base import SourceHealth
from fusecam.pipeline.sources.timing import CameraTimes, MediaTimes, NetworkTimes, to_ns

MS = Fraction(1, 1000)
US = Fraction(1, 1_000_000)


def stamp_all(pts, rate=25, dts=None):
    health = SourceHealth()
    times = MediaTimes("clip", Fraction(rate) if rate else None, health)
    stamps = [times.stamp(p, None if dts is None else dts[i], MS, 0) for i, p in enumerate(pts)]
    return [s.pts for s in stamps], [s.time_ns for s in stamps], health


@pytest.mark.parametrize(
    ("pts", "expected", "retimed", "warnings"),
    [
        ([0, 40, 80], [0, 40, 80], 0, 0),
        ([5000, 5040, 5083, 9000], [5000, 5040, 5083, 9000], 0, 0),  # kept where they are, uneven, with a gap
        ([-80, -40, 0], [-80, -40, 0], 0, 0),
        ([0, 40, 40, 80], [0, 40, 41, 80], 1, 1),
        ([0, 40, 20, 30, 80], [0, 40, 41, 42, 80], 2, 1),
        ([0, 40, 80, 80, 80, 81], [0, 40, 80, 81, 82, 83], 3, 1),
        ([7000, 7040, 0, 40, 80], [7000, 7040, 7080, 7120, 7160], 1, 1),  # joined files: one jump, time goes on
        ([None, None, None], [0, 40, 80], 3, 1),
        ([0, None, 80], [0, 40, 80], 1, 1),
        ([0, None, 80, 80, 7000, 0], [0, 40, 80, 81, 7000, 7040], 3, 3),
    ],
)
def test_media_times_are_exact(pts, expected, retimed, warnings):
    stamped, times, health = stamp_all(pts)
    assert stamped == expected
    assert times == [ms * 1_000_000 for ms in expected]
    assert (health.retimed, len(health.warnings)) == (retimed, warnings)


def test_decoding_time_replaces_a_missing_presentation_time():
    stamped, _, health = stamp_all([None, None], dts=[200, 233])
    assert (stamped, health.retimed) == ([200, 233], 2)


def test_last_interval_is_used_without_a_rate():
    assert stamp_all([0, 50, None], rate=None)[0] == [0, 50, 100]


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=60))
def test_times_strictly_increase_for_any_stored_timestamps(pts):
    stamped, times, health = stamp_all(pts)
    assert all(a < b for a, b in itertools.pairwise(times))
    moved = [a - b for a, b in zip(stamped, pts, strict=True) if b is not None]
    assert health.retimed >= pts.count(None) + (sum(a != b for a, b in itertools.pairwise(moved)) - 1) / 2


@given(
    st.integers(-(2**62), 2**62), st.sampled_from([Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 25), US])
)
def test_nanoseconds_are_exact_to_half_a_unit(ticks, time_base):
    assert abs(to_ns(ticks, time_base) - ticks * time_base * 10**9) <= Fraction(1, 2)


def test_network_frame_without_a_timestamp_is_timed_by_its_arrival():
    times = NetworkTimes(MediaTimes("cam", Fraction(25), SourceHealth()))
    assert times.stamp(0, 0, MS, 10**9).time_ns == 10**9
    assert times.stamp(None, None, MS, 3 * 10**9).time_ns == 3 * 10**9
    assert times.stamp(2040, None, MS, 3 * 10**9 + 40_000_000).time_ns == 3 * 10**9 + 40_000_000


@pytest.mark.parametrize("clock", ["monotonic", "wall", "unknown"])
def test_camera_times_are_monotonic_for_any_driver_clock(clock):
    """A frame taken 8 ms ago by a driver on either clock; one on a clock of its own counts from the arrival."""
    times = CameraTimes(MediaTimes("dev0", Fraction(25), SourceHealth()))
    now = time.monotonic_ns()
    offset = {"monotonic": 0, "wall": time.time_ns() - now, "unknown": 10**16}[clock]
    for index in range(3):
        taken = now + index * 40_000_000
        stamp = times.stamp((taken + offset) // 1000, None, US, taken + 8_000_000)
        expected = taken + 8_000_000 if clock == "unknown" else taken
        assert stamp.time_ns == pytest.approx(expected, abs=1_000_000)


def test_live_source_reports_clock_drift_when_known() -> None:
    health = SourceHealth()
    times = NetworkTimes(MediaTimes("cam", Fraction(25), health))
    start = 10**15
    for index in range(25 * 40):
        sent = index * 40_000_000
        times.stamp(index * 40, None, Fraction(1, 1000), start + sent + round(sent * 80e-6))
        assert index >= 25 * 9 or health.drift_ppm is None
    assert health.drift_ppm == pytest.approx(80, abs=5)
