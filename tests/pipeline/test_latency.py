from __future__ import annotations

import io
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fusecam.pipeline.core.latency import EXACT, LatencyRecorder

WANTED = (50, 95, 99)


def recorded(samples: list[int] | np.ndarray) -> LatencyRecorder:
    recorder = LatencyRecorder()
    for ns in samples:
        recorder.add("fuse", ns)
    return recorder


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_short_runs_are_exact(samples: list[int]) -> None:
    summary = recorded(samples).summary("fuse")
    assert summary is not None
    expected = np.percentile(samples, WANTED) / 1e6
    assert [summary.p50_ms, summary.p95_ms, summary.p99_ms] == pytest.approx(list(expected), rel=1e-9)
    assert summary.count == len(samples)
    assert summary.mean_ms == pytest.approx(np.mean(samples) / 1e6, rel=1e-9)
    assert summary.max_ms == pytest.approx(max(samples) / 1e6, rel=1e-12)
    assert summary.jitter_ms == pytest.approx(np.std(np.array(samples, np.float64)) / 1e6, rel=1e-6, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    median_ns=st.floats(100, 1e10),
    spread=st.floats(0, 3),
    extra=st.integers(1, 3000),
)
def test_long_runs_are_within_one_percent(seed: int, median_ns: float, spread: float, extra: int) -> None:
    rng = np.random.default_rng(seed)
    samples = (median_ns * np.exp(rng.normal(0, spread, EXACT + extra))).astype(np.int64)
    summary = recorded(samples).summary("fuse")
    assert summary is not None
    expected = np.percentile(samples, WANTED) / 1e6
    assert [summary.p50_ms, summary.p95_ms, summary.p99_ms] == pytest.approx(list(expected), rel=0.01)
    assert summary.mean_ms == pytest.approx(samples.mean() / 1e6, rel=1e-9)
    assert summary.jitter_ms == pytest.approx(samples.std() / 1e6, rel=1e-6, abs=1e-9)
    assert summary.max_ms == pytest.approx(samples.max() / 1e6, rel=1e-12)


@pytest.mark.parametrize("constant", [0, 1, 255, 256, 257, 10**6, 2**40 + 1])
def test_constant_latency_has_no_jitter_and_exact_percentiles(constant: int) -> None:
    summary = recorded([constant] * (EXACT + 5)).summary("fuse")
    assert summary is not None
    assert (summary.p50_ms, summary.p99_ms) == pytest.approx((constant / 1e6, constant / 1e6), rel=1e-12)
    assert summary.jitter_ms == 0


def test_memory_does_not_grow_with_frames() -> None:
    recorder = recorded(np.random.default_rng(0).integers(10**6, 10**8, EXACT + 2000))
    stage = recorder._stages["fuse"]
    before = len(stage.histogram)
    for ns in np.random.default_rng(1).integers(10**6, 10**8, 20_000):
        recorder.add("fuse", ns)
        recorder.output()
    assert stage.exact is None
    assert len(stage.recent) <= 1024
    assert len(recorder._outputs) <= 1024
    assert len(stage.histogram) <= before + 100  # at most 128 to the octave


def test_stage_is_timed_unless_it_fails() -> None:
    recorder = LatencyRecorder()
    with recorder.stage("fuse"):
        time.sleep(0.01)
    with pytest.raises(KeyError), recorder.stage("fuse"):
        raise KeyError
    summary = recorder.summary("fuse")
    assert summary is not None
    assert summary.count == 1
    assert summary.max_ms >= 10


def test_stages_nest_and_repeat() -> None:
    recorder = LatencyRecorder()
    with recorder.stage("outer"), recorder.stage("inner"), recorder.stage("inner"):
        pass
    stages = recorder.as_dict()["stages"]
    assert {name: stage["count"] for name, stage in stages.items()} == {"inner": 2, "outer": 1}
    assert stages["outer"]["max_ms"] >= stages["inner"]["max_ms"]


def test_recording_is_thread_safe() -> None:
    recorder = LatencyRecorder(frame_log=True)

    def work(start: int) -> None:
        for index in range(start, 4000, 4):
            recorder.add("fuse", 1000 + index, index)
            recorder.count("dropped_queue")
            recorder.output()

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = recorder.as_dict()
    assert report["stages"]["fuse"]["count"] == report["frames"] == report["counters"]["dropped_queue"] == 4000
    assert [row["fuse_ms"] for row in report["frame_latencies"]] == pytest.approx(
        [(1000 + index) / 1e6 for index in range(4000)]
    )


def test_frame_log_keeps_the_times_of_every_frame() -> None:
    recorder = LatencyRecorder(frame_log=True)
    recorder.add("decode", 5_000_000)  # of no frame
    recorder.add("fuse", 1_000_000, 0)
    recorder.add("fuse", 2_000_000, 2)
    recorder.add("write", 3_000_000, 2)
    assert recorder.as_dict()["frame_latencies"] == [
        {"frame": 0, "fuse_ms": 1},
        {"frame": 1},
        {"frame": 2, "fuse_ms": 2, "write_ms": 3},
    ]


def test_frames_are_not_logged_by_default() -> None:
    recorder = LatencyRecorder()
    recorder.add("fuse", 1, 0)
    assert "frame_latencies" not in recorder.as_dict()


@pytest.mark.parametrize("call", [lambda r: r.add("age", -1), lambda r: r.count("dropped", -1)])
def test_invalid_values_are_refused(call: object) -> None:
    recorder = LatencyRecorder()
    assert callable(call)
    with pytest.raises(ValueError, match=r"age|dropped"):
        call(recorder)


def test_rolling_figures_cover_the_window_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10**12
    monkeypatch.setattr("fusecam.pipeline.core.latency.time.monotonic_ns", lambda: now)
    recorder = LatencyRecorder()
    assert recorder.rolling("age") is None
    assert recorder.fps() == recorder.fps(2.0) == 0
    for ms in range(100):  # 25 fps for 4 s
        recorder.add("age", ms * 10**6)
        recorder.output()
        now += 40_000_000
    rolling = recorder.rolling("age", 2.0)
    assert rolling == pytest.approx(tuple(np.percentile(np.arange(50, 100), (50, 99))))
    assert recorder.fps(2.0) == pytest.approx(25)
    assert recorder.fps() == pytest.approx(25)
    now += 10 * 10**9
    assert recorder.rolling("age") is None
    assert recorder.fps(2.0) == 0


def test_report_is_json_and_shown_as_a_table() -> None:
    recorder = LatencyRecorder(frame_log=True)
    for index in range(3):
        recorder.add("fuse", (index + 1) * 1_234_000, index)
        recorder.output()
    recorder.count("dropped_queue", 2)
    assert json.loads(json.dumps(recorder.as_dict(), allow_nan=False))["frames"] == 3
    output = io.StringIO()
    Console(width=120, file=output).print(recorder.table())
    text = output.getvalue()
    for shown in ("fuse", "2.47", "3.70", "jitter", "3 frames", "dropped_queue 2"):
        assert shown in text


def test_unused_recorder_reports() -> None:
    recorder = LatencyRecorder()
    assert recorder.as_dict() == {"frames": 0, "fps": 0.0, "stages": {}, "counters": {}}
    assert recorder.summary("fuse") is None
    assert recorder.table().row_count == 0
