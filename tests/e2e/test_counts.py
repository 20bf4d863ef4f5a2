"""What became of the frames: page, metrics, log, report and the lines beside the output say the same at the end,
whatever happened meanwhile."""

import asyncio
import json
import logging
import socket
import subprocess
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from fusecam.pipeline.bench.paced import paced
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.health import CAMERA_COUNTERS, CAMERAS, FATES, RUN_COUNTERS
from fusecam.pipeline.core.log import JsonLines
from fusecam.pipeline.run.streams import Tools, build_tools, open_streams
from fusecam.pipeline.running import run_streams
from fusecam.pipeline.sinks.base import SinkHealth
from fusecam.pipeline.sources.watchdog import WatchedSource
from fusecam.pipeline.timing.sync import Synchronizer

from .command import json_lines, pair_of_clips
from .faulty import STALL_S, Device, Trigger

pytestmark = pytest.mark.slow


class Slow:
    """An engine that takes longer than there is between two frames; everything else is the engine's own."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def fuse(self, *given):
        time.sleep(0.05)
        return self._engine.fuse(*given)


class Finder:
    """A detector that always finds one."""

    name = "always"

    def prepare(self, width, height):
        pass

    def detect(self, frame):
        return [Detection("person", 0.9, (1, 1, 9, 9))]


class Watcher(logging.Handler):
    """An output that looks at the page and the metrics when the run closes it, as browsers and Prometheus would."""

    def __init__(self):
        super().__init__()
        self.setFormatter(JsonLines())
        self.health, self.log, self.page, self.metrics = SinkHealth(), [], None, None
        self.strangers = None

    def emit(self, record):
        self.log.append(json.loads(self.format(record)))
        self.log[-1]["url"] = url = getattr(record, "fields", {}).get("url")
        if self.log[-1].get("what") == "page" and self.strangers is not None:
            self.strangers += watch_and_never_read(url)

    def write(self, result):
        self.health.written += 1

    def close(self, complete=True):
        if self.page is None and any(line["event"] == "listening" for line in self.log):
            urls = {line["what"]: line["url"] for line in self.log if line["event"] == "listening"}
            self.page = asyncio.run(first_figures(urls["page"]))
            with urllib.request.urlopen(urls["metrics"]) as answer:
                families = list(text_string_to_metric_families(answer.read().decode()))
            self.metrics = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


async def first_figures(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}stream") as socket:
        return json.loads((await socket.receive(timeout=10)).data)


def watch_and_never_read(url):
    """Four who ask for the pictures and take none, four who say nothing, four who send nonsense."""
    port = int(url.split(":")[2].split("/")[0])
    asking = (
        f"GET /stream HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    strangers = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(12)]
    for number, talk in enumerate(strangers):
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        talk.sendall((asking.encode(), b"", bytes(range(256)) * 9)[number % 3])
    return strangers


class Breaking:
    """An output that takes ten frames."""

    def __init__(self):
        self.health = SinkHealth()

    def write(self, result):
        if result.index == 10:
            raise ValueError("odd")

    def close(self, complete):
        pass


def faulty(streams, folder):
    """Two cameras in their places that are lost, silent and frozen, whose clocks jump, whose sizes change."""
    trigger = Trigger(30.0)
    devices = [
        Device(folder / f"a_{name}.mp4", camera, 300, 24, trigger, seed)
        for name, camera, seed in (("ir", "infrared", 8), ("vis", "visible", 22))
    ]
    streams.infrared, streams.visible = (
        WatchedSource(device.open(), device.open, STALL_S, streams.health) for device in devices
    )
    streams.synchronizer = Synchronizer(live=True)
    return devices


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """Soon full, where such a disk can be mounted."""
    disk = tmp_path_factory.mktemp("disk")
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], check=False, capture_output=True
    ).returncode
    yield disk
    if mounted:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module", params=["live", "files", pytest.param("faults", marks=pytest.mark.slow)])
def seen(tmp_path_factory, small_disk, request):
    folder, faults = tmp_path_factory.mktemp("counts"), request.param == "faults"
    ir, vis = pair_of_clips(folder, frames=90, infrared_frames=70)
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(ir), "vis": str(vis)},
            "sync": {"offset_ms": 0},
            "engine": {"name": "average"},
            "detector": {"enabled": False},
            "output": {"out": folder / "o.mp4", "show": False},
            "record": {"folder": (small_disk if faults else folder) / "drive"},
            "monitor": {"serve": ":0", "metrics": ":0"},
            "max_frames": None if faults else 40,
        }
    )
    tools = build_tools(config.engine, config.detector)
    tools.engine.prepare(160, 120)
    streams = open_streams(config)
    if request.param == "live":
        paced(streams, 30.0)
    watcher, more, devices, stop = Watcher(), [], [], threading.Event()
    if faults:
        more, watcher.strangers, devices = [Breaking()], [], faulty(streams, folder)
        for device in devices:  # the first one that is switched off ends the run
            threading.Thread(target=lambda device=device: (device.over.wait(), stop.set()), daemon=True).start()
    logger = logging.getLogger("fusecam")
    level = logger.level
    logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    try:
        with_detector = replace(tools, engine=Slow(tools.engine), detector=Finder())
        assert isinstance(with_detector, Tools)
        console = Console(quiet=True)
        done = run_streams(config, streams, with_detector, stop, console, more_sinks=[*more, watcher])
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)
        for talk in watcher.strangers or ():
            talk.close()
    assert (done.outcome.failure is None) != faults
    assert all({"jumped back", "unplugged", "resized"} <= {*device.faults} for device in devices)
    return done.report, watcher, json_lines(folder / "o.jsonl"), request.param


def test_report_page_metrics_and_log_agree(seen):
    report, watcher, lines, kind = seen
    (ended,) = [line for line in watcher.log if line["event"] == "ended"]
    for camera in CAMERAS:
        expected = {name: report["health"]["cameras"][camera][name] for name in CAMERA_COUNTERS}
        for told in (watcher.page, ended):
            assert {name: told["cameras"][camera][name] for name in CAMERA_COUNTERS} == expected
        metrics = {name: watcher.metrics[f"fusecam_camera_{name}_total", camera] for name in CAMERA_COUNTERS}
        assert metrics == expected
    expected = {name: report["health"]["run"][name] for name in RUN_COUNTERS}
    for told in (watcher.page, ended):
        assert {name: told["run"][name] for name in RUN_COUNTERS} == expected
    names = {name: f"fusecam_{'frames_' if name == 'out' else ''}{name}_total" for name in RUN_COUNTERS}
    assert {name: watcher.metrics[names[name],] for name in RUN_COUNTERS} == expected
    assert expected["out"] == len(lines) == report["frames"] == watcher.health.written
    assert expected["recorder_frames"] == expected["out"] - expected["recorder_frames_lost"]
    if kind == "faults":
        assert expected["output_losses"] == 1
        if Path(report["config"]["record"]["folder"]).parent.is_mount():
            assert expected["recorder_losses"] >= 1  # what it cost depends on the room that could be made
        for camera in CAMERAS:
            counters = report["health"]["cameras"][camera]
            assert counters["reconnects"] >= 1 and counters["resized"] >= 1
    people = {"person": expected["out"]}
    assert report["detections"] == watcher.page["detections"] == ended["detections"] == people
    assert watcher.metrics["fusecam_detections_total", "person"] == expected["out"]


def test_sections_of_the_report_agree(seen):
    report, _, _, kind = seen
    for camera in CAMERAS:
        counted, source = report["health"]["cameras"][camera], report["sources"][camera]
        assert counted["frames"] == sum(counted[fate] for fate in FATES)
        for name, kept in {"delivered": "frames", "corrupt": "corrupt", "retimed": "retimed"}.items():
            assert source[name] == counted[kept], name
        for name in ("dropped_queue", "unprocessed"):
            assert source[name] == counted[name], (camera, name)
    run = report["health"]["run"]
    assert run["fused"] == run["out"] + run["dropped_output"]
    dropped = report["health"]["cameras"]["visible"]["dropped_late"]
    assert (dropped > 0) == (kind != "files")  # the machine was too slow
