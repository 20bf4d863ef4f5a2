"""One output that fails costs no frame of another; what is lost is counted and said; a forced stop keeps no half."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fusecam.engines import create_engine
from fusecam.engines.base import Fused
from fusecam.pipeline import running
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.health import FATES
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.monitoring.view import RunView
from fusecam.pipeline.overlay import Overlay
from fusecam.pipeline.run.console import interruptible
from fusecam.pipeline.run.streams import Tools, open_streams
from fusecam.pipeline.running import Run, run_streams
from fusecam.pipeline.sinks import SinkHealth

from .command import QUICK, fusecam, json_lines, leftovers, pair_of_clips, presentation_times

pytestmark = pytest.mark.slow

FRAMES = 60


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


class Engine:
    """The average of both cameras, with something happening at one frame."""

    def __init__(self, at: int, happens: Any) -> None:
        self._engine = create_engine("average")
        self._at, self._happens, self._count = at, happens, 0
        self.name, self.notes, self.prepare = self._engine.name, self._engine.notes, self._engine.prepare

    def fuse(self, *arguments: Any) -> Fused:
        if self._count == self._at:
            self._happens()
        self._count += 1
        return self._engine.fuse(*arguments)


class Odd:
    """An output that takes frames up to one, at which it raises, or has had enough."""

    def __init__(self, at: int, error: Exception | None = None) -> None:
        self.health = SinkHealth()
        self.closed: bool | None = None
        self._at, self._error = at, error

    def write(self, result: Result) -> None:
        if result.index == self._at:
            if self._error is not None:
                raise self._error
            self.health.enough = True
        self.health.written += 1

    def close(self, complete: bool) -> None:
        self.closed = complete


def through(folder: Path, engine: Any = None, more: Sequence[Any] = (), **options: Any) -> Run:
    ir, vis = pair_of_clips(folder, frames=FRAMES)
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(ir), "vis": str(vis)},
            "sync": {"offset_ms": 0},
            "output": {"out": folder / "o.mp4"},
            "detector": {"enabled": False},
        }
    )
    tools = Tools(engine or create_engine("average"), None)
    with interruptible() as stop:
        return run_streams(config, open_streams(config), tools, stop, Console(quiet=True), more_sinks=more, **options)


def check_account(report: dict[str, Any]) -> None:
    for counters in report["health"]["cameras"].values():
        assert counters["frames"] == sum(counters[name] for name in FATES), counters
    run = report["health"]["run"]
    assert run["fused"] == run["out"] + run["dropped_output"], run
    assert report["frames"] == run["out"]


@pytest.mark.parametrize("error", [InputError("x: no more"), ValueError("odd"), MemoryError()])
def test_failing_sink_does_not_affect_the_others(tmp_path, error):
    odd = Odd(10, error)
    finished = through(tmp_path, more=[odd])
    report = finished.report
    assert len(presentation_times(tmp_path / "o.mp4")) == len(json_lines(tmp_path / "o.jsonl")) == FRAMES
    assert odd.closed is False and odd.health.written == 10
    assert report["health"]["run"]["output_losses"] == 1 and report["frames"] == FRAMES
    assert report["ended"] == "end of stream"
    assert isinstance(finished.outcome.failure, InputError) and report["failure"]
    assert len([line for line in report["warnings"] if line.startswith("output lost: ")]) == 1
    check_account(report)


def test_batch_keeps_no_incomplete_clip(tmp_path):
    finished = through(tmp_path, more=[Odd(10, InputError("x: no more"))], keep_partial=False)
    assert finished.outcome.failure is not None and finished.report["frames"] < FRAMES  # it ended there
    assert not (tmp_path / "o.mp4").exists() and leftovers(tmp_path) == []


def test_failing_overlay_loses_no_frame(tmp_path, monkeypatch):
    class Failing(Overlay):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._drawn = 0

        def draw(self, result: Result, recorder: LatencyRecorder) -> Result:
            self._drawn += 1
            if self._drawn > 30:
                raise ValueError("nan in a box")
            return super().draw(result, recorder)

    monkeypatch.setattr(running, "Overlay", Failing)
    finished = through(tmp_path)
    assert finished.outcome.failure is None
    assert len(presentation_times(tmp_path / "o.mp4")) == len(json_lines(tmp_path / "o.jsonl")) == FRAMES
    assert finished.report["health"]["run"]["overlay_losses"] == 30
    assert len([line for line in finished.report["warnings"] if "overlay: failed" in line]) == 1
    check_account(finished.report)


def test_failing_monitoring_loses_no_frame(tmp_path, monkeypatch):
    class Failing(RunView):
        def write(self, result: Result) -> None:
            super().write(result)
            if result.index > 30:
                raise RuntimeError("the page is gone")

    monkeypatch.setattr(running, "RunView", Failing)
    finished = through(tmp_path)
    assert finished.outcome.failure is None
    assert len(presentation_times(tmp_path / "o.mp4")) == len(json_lines(tmp_path / "o.jsonl")) == FRAMES
    assert len([line for line in finished.report["warnings"] if "monitoring: failed" in line]) == 1
    check_account(finished.report)


def test_failing_engine_keeps_the_frame_counts_consistent(tmp_path):
    def breaks() -> None:
        raise RuntimeError("device lost")

    finished = through(tmp_path, Engine(20, breaks))
    assert isinstance(finished.outcome.failure, RuntimeError) and finished.report["ended"] == "failed"
    assert len(presentation_times(tmp_path / "o.mp4")) == finished.report["frames"] == 20
    check_account(finished.report)


def test_closed_window_keeps_frame_counts_and_outputs_consistent(tmp_path):
    odd = Odd(25)
    finished = through(tmp_path, more=[odd])
    assert finished.outcome.failure is None and finished.report["ended"] == "interrupted"
    there = len(presentation_times(tmp_path / "o.mp4"))
    assert 26 <= there < FRAMES
    assert len(json_lines(tmp_path / "o.jsonl")) == there == finished.report["frames"]
    check_account(finished.report)


def test_second_interrupt_leaves_no_partial_output(tmp_path):
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    odd = Odd(-1, ValueError())
    with pytest.raises(KeyboardInterrupt):
        through(tmp_path, Engine(19, twice), more=[odd])
    assert sorted(path.name for path in tmp_path.glob("o*")) == []
    assert odd.closed is False


def test_full_disk_of_the_video_does_not_affect_the_recording(tmp_path, run, small_disk):
    ir, vis = pair_of_clips(tmp_path, frames=80, size=(320, 240))
    record, report = tmp_path / "record", tmp_path / "r.json"
    files = ("--out", small_disk / "o.mp4", "--record", record, "--report", report)
    answer = run("--ir", ir, "--vis", vis, *files, "--offset-ms", 0, *QUICK)
    assert answer.code == 1 and "Traceback" not in answer.said
    assert "o.mp4: cannot be written: No space left on device" in answer.said
    assert "wrote" not in answer.said
    (video,) = record.glob("*_fused.mp4")
    assert len(presentation_times(video)) == 80
    assert [path.name for path in small_disk.iterdir()] == ["o.jsonl"]
    assert len(json_lines(small_disk / "o.jsonl")) == 80
    told = json.loads(report.read_text())
    assert told["frames"] == 80 and told["health"]["run"]["output_losses"] == 1
    check_account(told)


def test_run_that_lost_its_only_output_fails(tmp_path, run, small_disk):
    (small_disk / "filler").write_bytes(bytes(60 * 1024))
    ir, vis = pair_of_clips(tmp_path, frames=200, size=(320, 240))
    report = tmp_path / "r.json"
    answer = run("--ir", ir, "--vis", vis, "--out", small_disk / "png", "--report", report, "--offset-ms", 0, *QUICK)
    assert answer.code == 1 and "No space left on device" in answer.said
    told = json.loads(report.read_text())
    assert told["ended"] == "failed" and told["frames"] < 200
    check_account(told)
