"""Cameras that break while the command runs in a process of its own, told by its log of events and its report."""

from __future__ import annotations

import configparser
import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fusecam.pipeline.config import load

from ..pipeline.rtsp_server import RtspServer
from .command import COMMAND, QUICK, check_account, json_lines, presentation_times, street

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
FPS = 6  # frames older than two periods are dropped: a busy machine needs time
SAMPLES = Path(__file__).resolve().parents[2] / "samples"


class Running:
    """The command on two RTSP cameras, and the events that it logs."""

    def __init__(self, folder: Path, infrared: RtspServer, visible: RtspServer, *more: object) -> None:
        self.out, self.report = folder / "o.mp4", folder / "r.json"
        config = folder / "run.yaml"
        config.write_text("sources: {stall_s: 1.0, give_up_s: 12}\n")
        files = ("--config", config, "--out", self.out, "--report", self.report)
        arguments = ("--ir", infrared.url, "--vis", visible.url, "--log-json", *files, *QUICK, *more)
        self.process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self.states: dict[str, str] = {}
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, camera: str, state: str) -> None:
        """Until the camera is in this state, as far as the log was read."""
        limit = time.monotonic() + PATIENCE_S
        while self.states.get(camera) != state:
            try:
                event = self._events.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{camera} never was {state}: {self.said[-5:]}") from None
            if event["event"] == "camera":
                self.states[event["camera"]] = event["state"]

    def end(self) -> dict[str, Any]:
        """SIGTERM; returns the report."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 130
        self._reader.join()
        assert not any("Traceback" in line for line in self.said), self.said
        report: dict[str, Any] = json.loads(self.report.read_text())
        return report

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("{"):
                self._events.put(json.loads(line))


@pytest.fixture
def cameras() -> Iterator[list[RtspServer]]:
    pictures = [street(i) for i in range(25)]
    servers = [RtspServer(pictures, fps=FPS), RtspServer(pictures, fps=FPS)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*arguments: Any) -> Running:
        started.append(Running(tmp_path, *arguments))
        for camera in ("infrared", "visible"):
            started[-1].wait_for(camera, "live")
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


def check(running: Running, report: dict[str, Any]) -> dict[str, Any]:
    """Every frame has one fate, what came out is playable and in order; returns the counters by camera."""
    cameras = check_account(report)
    times = presentation_times(running.out)
    assert all(a < b for a, b in pairwise(times))
    assert len(times) == report["frames"]
    assert len(json_lines(running.out.with_suffix(".jsonl"))) == len(times)
    return cameras


def test_lost_visible_camera_is_replaced_by_infrared_until_it_returns(cameras, start):
    infrared, visible = cameras
    running = start(infrared, visible)
    port = visible.port
    visible.stop()
    running.wait_for("visible", "lost")
    time.sleep(2)
    cameras[1] = RtspServer([street(i, 192, 144) for i in range(25)], fps=FPS, port=port)  # and of another size
    running.wait_for("visible", "live")
    time.sleep(6)  # for the new size an engine is built first
    report = running.end()
    counters = check(running, report)
    assert counters["visible"]["reconnects"] >= 1 and counters["visible"]["losses"] >= 1
    assert counters["visible"]["resized"] >= 1
    assert report["health"]["run"]["scaled"] >= 1
    assert any("; until it is ready such frames are scaled for fusion" in line for line in report["warnings"])
    assert counters["infrared"]["alone"] > 5
    lines = json_lines(running.out.with_suffix(".jsonl"))
    led = [number for number, line in enumerate(lines) if line.get("led_by") == "infrared"]
    assert len(led) > 5 and all(lines[number]["haze"] is None for number in led)
    assert "led_by" not in lines[-1] or led[-1] < len(lines)  # it went on after the visible camera came back
    assert any("led_by" not in line for line in lines[led[0] :])


def test_frozen_or_silent_infrared_leaves_visible_alone_until_it_returns(cameras, start):
    infrared, visible = cameras
    running = start(infrared, visible)
    time.sleep(4)  # behind a codec it has to be known how the cameras move
    infrared.freeze()
    running.wait_for("infrared", "frozen")
    infrared.thaw()
    running.wait_for("infrared", "live")
    infrared.stall()
    running.wait_for("infrared", "lost")
    infrared.resume()
    running.wait_for("infrared", "live")
    counters = check(running, running.end())
    assert counters["infrared"]["frozen"] >= 1 and counters["infrared"]["losses"] >= 2
    assert counters["visible"]["alone"] >= 1 and counters["visible"]["paired"] >= 1


def test_jumps_damage_and_half_rate_are_survived_and_counted(cameras, start):
    infrared, visible = cameras
    running = start(infrared, visible)
    time.sleep(1)
    visible.jump(-20)
    time.sleep(1)
    infrared.damage(4)
    visible.jump(40)
    time.sleep(1)
    infrared.every = 2
    time.sleep(3)
    counters = check(running, running.end())
    assert counters["visible"]["retimed"] >= 1
    assert counters["infrared"]["corrupt"] >= 1


def test_run_that_loses_both_cameras_ends_and_keeps_its_frames(cameras, start):
    running = start(*cameras)
    time.sleep(4)  # what came while the engine was built is too old to be shown
    for camera in cameras:
        camera.stop()
    running.wait_for("visible", "lost")
    assert running.process.wait(PATIENCE_S) == 1
    assert "no new picture from either camera for 12 s" in "".join(running.said)
    assert len(presentation_times(running.out)) > 3


def test_vehicle_example_is_a_valid_run_file():
    config = load(SAMPLES / "vehicle.yaml")
    assert config.sources.give_up_s is None and config.record.folder is not None
    assert config.monitor.metrics == ":9100"


def test_service_example_runs_the_command_and_uses_its_exit_code():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(SAMPLES / "fusecam.service")
    assert unit["Service"]["ExecStart"].split()[0].endswith("/fusecam")
    assert unit["Service"]["SuccessExitStatus"] == "130" and unit["Service"]["KillSignal"] == "SIGTERM"
