"""Pairing in time: against brute force over random streams, then rates, offsets, stalls and accounts one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.pipeline.core.frames import Camera, Clock, Frame, FramePair
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.timing.sync import QUEUE_LIMIT, Synchronizer

MS = 1_000_000
PIXELS = np.zeros((1, 1), np.uint8)


def frame(camera: Camera, time_ns: int, sequence: int = 0, clock: Clock = "media", arrival_ns: int = 0) -> Frame:
    return Frame(PIXELS, time_ns, clock, sequence, camera, arrival_ns=arrival_ns)


def run_as_wanted(sync: Synchronizer, visible: list[int], infrared: list[int]) -> tuple[list[FramePair], int]:
    """Feed two recordings the way the runner does; returns the pairs and the most frames ever held."""
    queues = {"visible": list(enumerate(visible)), "infrared": list(enumerate(infrared))}
    push = {"visible": sync.push_visible, "infrared": sync.push_infrared}
    end = {"visible": sync.end_visible, "infrared": sync.end_infrared}
    ended: set[str] = set()
    pairs: list[FramePair] = []
    held = 0
    while len(ended) < 2:
        camera = sync.wants
        assert camera != "either"
        if camera in ended:
            camera = "infrared" if camera == "visible" else "visible"
        if queues[camera]:
            sequence, time_ns = queues[camera].pop(0)
            pairs += push[camera](frame(camera, time_ns, sequence))
        else:
            ended.add(camera)
            pairs += end[camera]()
        held = max(held, len(sync._waiting) + len(sync._held))
    return pairs, held


def nearest(time_ns: int, infrared: list[int], tolerance: int) -> int | None:
    best = min(infrared, key=lambda t: (abs(t - time_ns), t), default=None)
    return best if best is not None and abs(best - time_ns) <= tolerance else None


@st.composite
def streams(draw: st.DrawFn) -> list[int]:
    """Capture times with jitter, drops and any start."""
    period = draw(st.sampled_from([8, 17, 33, 40, 111])) * MS
    start = draw(st.integers(-400, 400)) * MS
    gaps = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(-40, 40)), max_size=40))
    times = [start]
    for drops, jitter in gaps:
        times.append(times[-1] + max(1, drops * period + jitter * period // 100))
    return times[draw(st.integers(0, 1)) :]


def check_accounts(sync: Synchronizer, pairs: list[FramePair], visible: int, infrared: int) -> None:
    stats = sync.stats
    led = [p for p in pairs if p.led_by == "infrared"]
    used = {p.infrared.sequence for p in pairs if p.infrared}
    assert (stats.visible, stats.infrared) == (visible, infrared)
    assert stats.infrared_alone == len(led)
    assert stats.paired == sum(p.infrared is not None for p in pairs) - len(led)
    assert stats.visible == stats.paired + stats.visible_alone + stats.visible_pending + stats.visible_late
    assert stats.infrared_reused == stats.paired + len(led) - len(used)
    assert stats.infrared == len(used) + stats.infrared_unused + stats.infrared_pending


@given(streams(), streams(), st.integers(-300, 300), st.sampled_from([0, 500, -500]), st.sampled_from([0, 5, 20, 500]))
@settings(deadline=None, max_examples=150)
def test_pairs_of_recordings_equal_a_brute_force_search(
    visible: list[int], infrared: list[int], offset: int, ppm: int, tolerance: int
) -> None:
    sync = Synchronizer(offset * MS, ppm, tolerance * MS)
    pairs, held = run_as_wanted(sync, visible, infrared)
    corrected = [t + offset * MS + round(ppm * 1e-6 * (t - infrared[0])) for t in infrared]
    assert [p.visible.sequence for p in pairs] == list(range(len(visible)))
    for pair, time_ns in zip(pairs, visible, strict=True):
        expected = nearest(time_ns, corrected, tolerance * MS)
        assert (None if pair.infrared is None else corrected[pair.infrared.sequence]) == expected
        assert pair.skew_ns == (0 if expected is None else expected - time_ns)
    check_accounts(sync, pairs, len(visible), len(infrared))
    assert sync.stats.visible_pending == sync.stats.infrared_pending == 0
    assert held <= 4


@given(streams(), streams(), st.data(), st.booleans())
@settings(deadline=None, max_examples=100)
def test_pairs_do_not_depend_on_the_order_of_pushing(
    visible: list[int], infrared: list[int], data: st.DataObject, live: bool
) -> None:
    """Pushed in any interleaving, live or not, with or without ends: once each, in order, accounts balanced."""
    sync = Synchronizer(tolerance_ns=30 * MS, live=live)
    order = data.draw(st.permutations([True] * len(visible) + [False] * len(infrared)))
    v, i = iter(enumerate(visible)), iter(enumerate(infrared))
    pairs: list[FramePair] = []
    for now, is_visible in enumerate(order):
        sequence, time_ns = next(v if is_visible else i)
        push = sync.push_visible if is_visible else sync.push_infrared
        camera: Camera = "visible" if is_visible else "infrared"
        pairs += push(frame(camera, time_ns, sequence, arrival_ns=(now + 1) * 20 * MS))
        check_accounts(sync, pairs, sync.stats.visible, sync.stats.infrared)
    for end in data.draw(st.permutations([sync.end_visible, sync.end_infrared])):
        pairs += end()
    came = [p.visible.sequence for p in pairs if p.led_by == "visible"]
    assert came == sorted(set(came)) and len(came) + sync.stats.visible_late == len(visible)
    assert all(abs(p.skew_ns) <= 30 * MS for p in pairs)
    check_accounts(sync, pairs, len(visible), len(infrared))
    assert sync.stats.visible_pending == sync.stats.infrared_pending == 0
    if not live:  # every frame held long enough to be compared with all that could matter
        for pair in pairs:
            expected = nearest(pair.visible.time_ns, infrared, 30 * MS)
            assert (pair.infrared.time_ns if pair.infrared else None) == expected


def times(fps: float, count: int, start_ms: float = 0) -> list[int]:
    return [round((start_ms + 1000 * k / fps) * MS) for k in range(count)]


@pytest.mark.parametrize(
    ("visible", "infrared", "alone", "reused", "unused"),
    [
        (times(25, 100), times(25, 100), 0, 0, 0),
        (times(30, 300), times(9, 91), 0, 209, 0),
        (times(9, 90), times(30, 300), 0, 0, 210),
        (times(25, 100), times(25, 100, 7), 0, 0, 0),
        (times(25, 400), times(25, 100, 10_000), 300, 0, 0),
        (times(25, 100, 10_000), times(25, 400), 0, 0, 300),
        (times(25, 100), times(25, 50), 50, 0, 0),
        (times(25, 100), [], 100, 0, 0),
        ([], times(25, 100), 0, 0, 100),
        (times(25, 1), times(25, 1), 0, 0, 0),
    ],
)
def test_unpaired_reused_and_unused_frames_are_counted(
    visible: list[int], infrared: list[int], alone: int, reused: int, unused: int
) -> None:
    sync = Synchronizer()
    pairs, held = run_as_wanted(sync, visible, infrared)
    stats = sync.stats
    assert (stats.visible_alone, stats.infrared_reused, stats.infrared_unused) == (alone, reused, unused)
    check_accounts(sync, pairs, len(visible), len(infrared))
    assert held <= 4


@pytest.mark.parametrize(
    ("visible_fps", "infrared_fps", "expected_ms"), [(25, 25, 22), (30, 9, 61.1), (9, 30, 61.1), (60, 50, 11)]
)
def test_tolerance_follows_the_slower_camera(visible_fps: float, infrared_fps: float, expected_ms: float) -> None:
    sync = Synchronizer()
    assert sync.tolerance_ns == pytest.approx(61.1 * MS, rel=1e-2)
    infrared = times(infrared_fps, 300)
    del infrared[20:30]  # a gap does not widen it
    run_as_wanted(sync, times(visible_fps, 300), infrared)
    assert sync.stats.tolerance_ms == pytest.approx(expected_ms, rel=1e-2)
    assert Synchronizer(tolerance_ns=7 * MS).stats.tolerance_ms == 7


def test_offset_and_drift_are_removed() -> None:
    """Infrared clock 120 ms ahead at its start and 200 ppm slow: after 500 s another 100 ms have gathered."""
    visible = times(10, 5000)
    infrared = [120 * MS + round(t / 1.0002) for t in visible]
    corrected = Synchronizer(offset_ns=-120 * MS, drift_ppm=200, tolerance_ns=5 * MS)
    run_as_wanted(corrected, visible, infrared)
    assert corrected.stats.visible_alone == 0 and corrected.stats.skew_max_ms < 0.1
    uncorrected = Synchronizer(offset_ns=-120 * MS, tolerance_ns=5 * MS)
    run_as_wanted(uncorrected, visible, infrared)
    assert uncorrected.stats.skew_max_ms > 4


def test_skew_statistics_are_reported() -> None:
    sync = Synchronizer(tolerance_ns=3_000 * MS)
    run_as_wanted(sync, times(0.1, 100), [t + (k % 100) * MS for k, t in enumerate(times(0.1, 100))])
    stats = sync.stats
    assert stats.skew_p50_ms == pytest.approx(49.5, abs=0.6)
    assert stats.skew_p95_ms == pytest.approx(94.5, abs=0.6)
    assert stats.skew_max_ms == 99
    assert Synchronizer().stats.skew_p95_ms == 0


@pytest.mark.parametrize("stalled", ["infrared", "visible"])
def test_memory_stays_bounded_when_one_stream_stalls(stalled: Camera) -> None:
    """Even pushed against `wants`: the visible frames still all come out, infrared ones are counted."""
    sync = Synchronizer()
    pairs = []
    for k in range(3000):
        if stalled == "infrared":
            pairs += sync.push_visible(frame("visible", k * 40 * MS, k))
        else:
            pairs += sync.push_infrared(frame("infrared", k * 40 * MS, k))
        assert len(sync._waiting) <= QUEUE_LIMIT and len(sync._held) <= QUEUE_LIMIT
    pairs += sync.end_infrared() + sync.end_visible()
    stats = sync.stats
    if stalled == "infrared":
        assert [p.visible.sequence for p in pairs] == list(range(3000)) and stats.visible_alone == 3000
    else:
        assert stats.infrared_unused == 3000


@pytest.mark.parametrize(
    ("visible", "infrared", "refused"),
    [
        ("monotonic", "media", True),
        ("index", "monotonic", True),
        ("media", "index", False),
        ("monotonic", "monotonic", False),
    ],
)
def test_incomparable_clocks_are_refused(visible: Clock, infrared: Clock, refused: bool) -> None:
    sync = Synchronizer()
    sync.push_visible(frame("visible", 0, clock=visible))
    if refused:
        with pytest.raises(InputError, match=r"times count from .*host's clock"):
            sync.push_infrared(frame("infrared", 0, clock=infrared))
    else:
        assert len(sync.push_infrared(frame("infrared", 0, clock=infrared))) == 1


def test_pushing_after_the_end_is_an_error() -> None:
    sync = Synchronizer()
    sync.end_visible()
    sync.end_infrared()
    with pytest.raises(ValueError, match="after end_visible"):
        sync.push_visible(frame("visible", 0))
    with pytest.raises(ValueError, match="after end_infrared"):
        sync.push_infrared(frame("infrared", 0))


def simulate_live(
    visible: list[int], infrared: list[int], infrared_latency_ms: float = 0, tick_ms: int = 5
) -> tuple[Synchronizer, list[tuple[int, FramePair]]]:
    """Two cameras in real time: frames arrive a latency after capture, `expire` is called every few ms."""
    sync = Synchronizer(live=True)
    events = [(t, 1, "visible", t, k) for k, t in enumerate(visible)]
    events += [(t + round(infrared_latency_ms * MS), 0, "infrared", t, k) for k, t in enumerate(infrared)]
    last = max(event[0] for event in events)
    events += [(t, 2, "tick", 0, 0) for t in range(0, last + 500 * MS, tick_ms * MS)]
    out = []
    for now, _, kind, time_ns, sequence in sorted(events):
        if kind == "tick":
            pairs = sync.expire(now)
        else:
            camera: Camera = "visible" if kind == "visible" else "infrared"
            push = sync.push_visible if kind == "visible" else sync.push_infrared
            pairs = push(frame(camera, time_ns, sequence, "monotonic", now))
        out += [(now, pair) for pair in pairs]
    led = [pair.visible.sequence for _, pair in out if pair.led_by == "visible"]
    assert led == sorted(set(led)) and len(led) + sync.stats.visible_late == len(visible)
    return sync, out


def latencies_ms(out: list[tuple[int, FramePair]]) -> list[float]:
    return [(now - pair.visible.time_ns) / MS for now, pair in out]


def test_live_does_not_wait_when_the_last_infrared_is_nearer() -> None:
    """Infrared 10 ms before each visible frame at the same rate: once the period is known, no waiting at all."""
    _, out = simulate_live(times(25, 200, 1010), times(25, 200, 1000))
    assert max(latencies_ms(out)[20:]) == 0
    assert {p.skew_ns for _, p in out[20:]} == {-10 * MS}


def test_live_waits_for_a_nearer_infrared_frame() -> None:
    """Infrared 10 ms after each visible frame: every frame waits those 10 ms and no longer."""
    _, out = simulate_live(times(25, 200, 1000), times(25, 200, 1010))
    assert max(latencies_ms(out)) == 10
    assert {p.skew_ns for _, p in out} == {10 * MS}


def test_live_slow_infrared_with_latency_is_paired() -> None:
    """9 Hz infrared that arrives 80 ms after capture still serves every 30 Hz frame with its nearest."""
    visible, infrared = times(30, 600, 1000), times(9, 190, 950)
    sync, everything = simulate_live(visible, infrared, infrared_latency_ms=80)
    out = [(now, pair) for now, pair in everything if pair.led_by == "visible"]
    nearest_to = [min(infrared, key=lambda t: (abs(t - p.visible.time_ns), t)) for _, p in out]
    settled = list(zip(out, nearest_to, strict=True))[60:-10]
    assert all(p.infrared is not None and p.infrared.time_ns == best for (_, p), best in settled)
    assert max(latencies_ms(out)[60:-10]) < 80 + 56 + 5
    assert sync.stats.visible_alone <= 6  # at the start, before the infrared rate is known


def test_live_infrared_may_stall_and_return() -> None:
    """Infrared gone for 4 s: one wait, then visible frames go on alone and at once; pairing resumes when it is back."""
    infrared = [t for t in times(25, 400, 1005) if not 5e9 < t < 9e9]
    sync, out = simulate_live(times(25, 400, 1000), infrared)
    during = [(now, p) for now, p in out if 5.3e9 < p.visible.time_ns < 8.9e9]
    assert all(p.infrared is None for _, p in during) and max(latencies_ms(during)) == 0
    assert max(latencies_ms(out)) <= 45
    assert all(p.infrared is not None for _, p in out if p.visible.time_ns > 9.1e9)
    assert 95 < sync.stats.visible_alone < 105


def test_live_works_without_infrared() -> None:
    _, out = simulate_live(times(25, 100, 1000), [])
    assert all(p.infrared is None for _, p in out)
    assert max(latencies_ms(out)[1:]) <= 120 and latencies_ms(out)[-1] == 0
    assert all(b >= a for (a, _), (b, _) in pairwise(out))


def test_live_infrared_leads_during_a_visible_loss() -> None:
    """Visible gone for 2 s: infrared's own frames go out within two periods of the last one, until it is back."""
    visible = [t for t in times(25, 300, 1000) if not 5e9 < t < 7e9]
    sync, out = simulate_live(visible, times(25, 300, 1005))
    shown = [now for now, _ in out]
    assert max(b - a for a, b in pairwise(shown)) <= 80 * MS
    led = [pair for _, pair in out if pair.led_by == "infrared"]
    assert 47 <= len(led) <= 50 and sync.stats.infrared_alone == len(led)
    assert all(pair.infrared is not None and pair.skew_ns == 0 for pair in led)
    assert all(5e9 < pair.visible.time_ns < 7.05e9 for pair in led)
    assert all(pair.led_by == "visible" and pair.infrared for _, pair in out if pair.visible.time_ns > 7.1e9)
    assert all(a.visible.time_ns < b.visible.time_ns for (_, a), (_, b) in pairwise(out))
    check_accounts(sync, [pair for _, pair in out], len(visible), 300)


def test_live_infrared_leads_if_visible_is_missing_or_late() -> None:
    sync, out = simulate_live(times(25, 100, 4000), times(25, 175, 1005))
    led = [(now, pair) for now, pair in out if pair.led_by == "infrared"]
    assert 2e9 < led[0][0] < 2.1e9 and 47 <= len(led) <= 50
    assert all(pair.led_by == "visible" and pair.infrared for now, pair in out if now > 4.1e9)
    check_accounts(sync, [pair for _, pair in out], 100, 175)


def test_live_visible_frames_older_than_the_shown_one_are_late() -> None:
    """A visible stream that stalls and then delivers what it held back: nothing is shown twice or out of order."""
    sync = Synchronizer(live=True)
    out = []
    for k in range(100):
        now = k * 40 * MS
        held_back = 50 <= k < 60
        for burst in range(50, 61) if k == 60 else ([] if held_back else [k]):
            out += sync.push_visible(frame("visible", burst * 40 * MS, burst, "monotonic", now + MS))
        out += sync.push_infrared(frame("infrared", now + 5 * MS, k, "monotonic", now + 6 * MS))
    assert all(a.visible.time_ns < b.visible.time_ns for a, b in pairwise(out))
    assert sync.stats.visible_late == 10 and sum(p.led_by == "infrared" for p in out) == 9
    check_accounts(sync, out, 100, 100)


def test_live_visible_at_half_rate_does_not_flicker() -> None:
    """From 25 to 12.5 fps: infrared fills the first hole at most, then the new spacing is what is expected."""
    visible = [*times(25, 100, 1000), *times(12.5, 100, 5000)]
    sync, _ = simulate_live(visible, times(25, 298, 1005))
    assert sync.stats.infrared_alone <= 2
    assert sync.stats.visible_alone <= 1


def test_live_old_infrared_does_not_lead() -> None:
    """Infrared that comes out of a long queue is not shown as what is there now."""
    sync = Synchronizer(live=True)
    for k in range(50):
        sync.push_visible(frame("visible", k * 40 * MS, k, "monotonic", k * 40 * MS))
        sync.push_infrared(frame("infrared", k * 40 * MS, k, "monotonic", k * 40 * MS))
    now = 4_000 * MS
    assert sync.push_infrared(frame("infrared", 2_500 * MS, 50, "monotonic", now)) == []
    assert len(sync.push_infrared(frame("infrared", now - 10 * MS, 51, "monotonic", now))) == 1


def test_recordings_are_never_led_by_infrared() -> None:
    sync = Synchronizer()
    pairs, _ = run_as_wanted(sync, times(25, 10), times(25, 200))
    assert {pair.led_by for pair in pairs} == {"visible"} and sync.stats.infrared_alone == 0
