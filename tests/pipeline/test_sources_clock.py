"""The sender's clock recovered from jittery arrivals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.pipeline.sources.clock import ClockMapper

MS = 1_000_000
PERIOD = 40 * MS


def arrivals(count: int, ppm: float, jitter_ms: float, seed: int, distance: int = 10**15):
    """(sender, true capture, arrival) in ns of `count` frames, 25 a second."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        true = distance + index * PERIOD
        sender = round((true - distance) * (1 - ppm * 1e-6))
        yield sender, true, true + int(rng.uniform(0, jitter_ms) * MS)


@settings(max_examples=25, deadline=None)
@given(ppm=st.floats(-100, 100), jitter_ms=st.floats(0, 120), seed=st.integers(0, 10**6))
def test_error_is_bounded_and_time_strictly_increases(ppm, jitter_ms, seed):
    mapper, previous = ClockMapper(), None
    for index, (sender, true, arrival) in enumerate(arrivals(1000, ppm, jitter_ms, seed)):
        mapped = mapper.map(sender, arrival)
        assert previous is None or mapped > previous
        error = mapped - true
        # Never later than the worst delay; never earlier than the drift over the window allows.
        assert -0.7 * MS <= error <= jitter_ms * MS + 1
        if index > 250:  # the smallest of 125 uniform delays: above a quarter of them once in 10^15
            assert error <= jitter_ms / 4 * MS + 0.6 * MS
        previous = mapped


@pytest.mark.parametrize("ppm", [-100.0, -20.0, 0.0, 60.0, 100.0])
def test_drift_is_reported(ppm):
    mapper = ClockMapper()
    for sender, _, arrival in arrivals(25 * 120, ppm, 20, seed=7):
        mapper.map(sender, arrival)
    assert mapper.drift_ppm == pytest.approx(ppm, abs=15)


def test_drift_is_unknown_at_first():
    mapper = ClockMapper()
    for sender, _, arrival in arrivals(100, 50, 5, seed=1):
        mapper.map(sender, arrival)
    assert mapper.drift_ppm is None


def test_burst_after_a_stall_keeps_its_times():
    """Frames that wait 20 s in a buffer and then come at once are still timed by when they were taken."""
    mapper = ClockMapper()
    for index in range(1000):
        true = index * PERIOD
        held_until = 900 * PERIOD if 400 <= index < 900 else true
        assert mapper.map(true, max(true, held_until) + MS) == true + MS


def test_sender_that_pauses_its_clock_is_found_again():
    mapper = ClockMapper()
    errors = []
    for index in range(1000):
        pause = 20 * 10**9 if index >= 500 else 0
        errors.append(mapper.map(index * PERIOD, index * PERIOD + pause) - index * PERIOD - pause)
    assert set(errors[:500]) == {0}
    assert set(errors[500 + 6 * 25 :]) == {0}  # once the window has passed


def test_sender_that_restarts_is_followed_at_once():
    mapper = ClockMapper()
    for index in range(100):
        mapper.map(index * PERIOD + 10**12, index * PERIOD)
    for index in range(100, 200):
        assert mapper.map((index - 100) * PERIOD, index * PERIOD) == index * PERIOD


def test_sender_that_jumps_ahead_is_followed_at_once():
    mapper = ClockMapper()
    for index in range(200):
        assert mapper.map(index * PERIOD + (10**13 if index >= 100 else 0), index * PERIOD) == index * PERIOD


def test_learning_ahead_times_the_backlog_of_a_stream_just_opened():
    mapper = ClockMapper()
    backlog = [(index * PERIOD, 12 * PERIOD + index) for index in range(12)] + [(12 * PERIOD, 12 * PERIOD + 20)]
    for sender, arrival in backlog:
        mapper.observe(sender, arrival)
    assert [mapper.place(s) for s, _ in backlog] == [s + 20 for s, _ in backlog]
