"""The sender's clock recovered from jittery arrivals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.pipeline.sources.clock import ClockMapper

MS = 1_000_000
PERIOD = 40 * MS


def placed(mapper: ClockMapper, sender: int, arrival: int) -> int:
    return mapper.place(mapper.observe(sender, arrival))


def arrivals(count: int, ppm: float, jitter_ms: float, seed: int, distance: int = 10**15):
    """(sender, true capture, arrival) in ns of `count` frames, 25 a second."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        true = distance + index * PERIOD
        sender = round((true - distance) * (1 - ppm * 1e-6))
        yield sender, true, true + int(rng.uniform(0, jitter_ms) * MS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(ppm=st.floats(-100, 100), jitter_ms=st.floats(0, 120), seed=st.integers(0, 10**6))
def test_error_is_bounded_and_time_strictly_increases(ppm, jitter_ms, seed):
    mapper, previous = ClockMapper(), None
    for index, (sender, true, arrival) in enumerate(arrivals(1000, ppm, jitter_ms, seed)):
        mapped = placed(mapper, sender, arrival)
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
        placed(mapper, sender, arrival)
    assert mapper.drift_ppm == pytest.approx(ppm, abs=15)


def test_drift_is_unknown_at_first():
    mapper = ClockMapper()
    for sender, _, arrival in arrivals(100, 50, 5, seed=1):
        placed(mapper, sender, arrival)
    assert mapper.drift_ppm is None


def test_burst_after_a_stall_keeps_sender_times():
    """Frames that wait 20 s in a buffer and then come at once are still timed by when they were taken."""
    mapper = ClockMapper()
    for index in range(1000):
        true = index * PERIOD
        held_until = 900 * PERIOD if 400 <= index < 900 else true
        assert placed(mapper, true, max(true, held_until) + MS) == true + MS


def test_sender_with_a_paused_clock_is_followed_again():
    mapper = ClockMapper()
    errors = []
    for index in range(1000):
        pause = 20 * 10**9 if index >= 500 else 0
        errors.append(placed(mapper, index * PERIOD, index * PERIOD + pause) - index * PERIOD - pause)
    assert set(errors[:500]) == {0}
    assert set(errors[500 + 6 * 25 :]) == {0}  # once the window has passed


def test_sender_that_restarts_is_followed_at_once():
    mapper = ClockMapper()
    for index in range(100):
        placed(mapper, index * PERIOD + 10**12, index * PERIOD)
    for index in range(100, 200):
        assert placed(mapper, (index - 100) * PERIOD, index * PERIOD) == index * PERIOD


def test_sender_that_jumps_ahead_is_followed_at_once():
    mapper = ClockMapper()
    for index in range(200):
        assert placed(mapper, index * PERIOD + (10**13 if index >= 100 else 0), index * PERIOD) == index * PERIOD


def test_backlog_of_a_new_stream_is_timed_by_its_later_frames():
    mapper = ClockMapper()
    backlog = [(index * PERIOD, 12 * PERIOD + index) for index in range(12)] + [(12 * PERIOD, 12 * PERIOD + 20)]
    seen = [mapper.observe(sender, arrival) for sender, arrival in backlog]
    assert [mapper.place(one) for one in seen] == [s + 20 for s, _ in backlog]


def opened(arrivals):
    """The mapper's times for (sender, arrival) of frames, of which the first six are observed ahead, as at opening."""
    mapper = ClockMapper()
    ahead = [mapper.observe(*one) for one in arrivals[:6]]
    return [*map(mapper.place, ahead), *(placed(mapper, *one) for one in arrivals[6:])], mapper


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([8.7, 9, 12.5, 15, 20, 21, 23, 24, 24.7, 24.8, 25, 29.97, 30, 50]),
    nominal=st.sampled_from([25, 30]),
    jitter_ms=st.floats(0, 20),
    seed=st.integers(0, 10**6),
)
def test_frames_counted_at_a_nominal_rate_are_timed_by_their_arrival(rate, nominal, jitter_ms, seed):
    """Half a period of the faster camera is some 20 ms, what a pair can be off."""
    rng = np.random.default_rng(seed)
    true = [round(index / rate * 1e9) for index in range(round(20 * rate))]
    arrivals = [(round(i / nominal * 1e9), t + int(rng.uniform(0, jitter_ms) * MS)) for i, t in enumerate(true)]
    times, mapper = opened(arrivals)
    assert all(time <= arrival for time, (_, arrival) in zip(times, arrivals, strict=True))
    errors = [(time - t) / MS for time, t in zip(times, true, strict=True)]
    assert min(errors[round(8 * rate) :]) >= -25
    assert min(errors) >= -160 - jitter_ms  # four seconds at 24 of 25, before the rate is doubted
    assert (mapper.rate == 1) == (rate > 0.995 * nominal)


def test_rate_learned_while_opening_times_the_backlog_of_a_build():
    """Nine pictures a second stamped as 25, not read for 5 s: what then comes at once is old, and is timed so."""
    true = [round(index / 9 * 1e9) for index in range(100)]
    held = range(10, 55)
    times, _ = opened([(i * PERIOD, true[55] + i * MS // 10 if i in held else t) for i, t in enumerate(true)])
    assert times == pytest.approx(true, abs=20 * MS)


def test_camera_slowing_down_at_night_is_followed():
    """Its clock was right until then, so that a congested network is thought of first, for a second of lag."""
    mapper, true, errors = ClockMapper(), 0, []
    for index in range(1000):
        errors.append(placed(mapper, index * PERIOD, true) - true)
        true += PERIOD if index < 500 else 2 * PERIOD
    assert set(errors[:500]) == {0}
    assert min(errors) > -1500 * MS
    assert min(errors[500 + 40 :]) > -20 * MS


def test_congestion_of_a_second_does_not_reset_the_clock():
    mapper = ClockMapper()
    for index in range(1000):
        late = max(0, min(20 * (index - 500), 800, 20 * (600 - index))) * MS
        assert placed(mapper, index * PERIOD, index * PERIOD + late) == index * PERIOD


def test_wrong_first_timestamp_puts_no_frame_into_the_future():
    """A server that had counted for four seconds when it sent its first picture, which says no time (taken as 0)."""
    mapper = ClockMapper()
    seen = [mapper.observe(0, 10**9)]
    seen += [mapper.observe(4 * 10**9 + index * PERIOD, 10**9 + index * PERIOD) for index in range(1, 10)]
    times = [mapper.place(one) for one in seen]
    assert times[1:] == [10**9 + index * PERIOD for index in range(1, 10)]
    assert 10**9 <= times[0] < times[1]


def test_sender_set_back_by_less_than_a_second_is_followed_at_once():
    mapper = ClockMapper()
    for index in range(200):
        assert placed(mapper, (index - 20 * (index >= 100)) * PERIOD, index * PERIOD) == index * PERIOD
