"""What became of the frames: page, metrics, log, report and the lines beside the output say the same at the end."""

import asyncio
import json
import logging
import threading
import time
import urllib.request
from dataclasses import replace

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
from fusecam.pipeline.session import run_streams
from fusecam.pipeline.sinks.base import SinkHealth

from .command import json_lines, pair_of_clips


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

    def emit(self, record):
        self.log.append(json.loads(self.format(record)))
        self.log[-1]["url"] = getattr(record, "fields", {}).get("url")

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


@pytest.fixture(scope="module", params=["live", "files"])
def seen(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("counts")
    ir, vis = pair_of_clips(folder, frames=90, infrared_frames=70)
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(ir), "vis": str(vis)},
            "sync": {"offset_ms": 0},
            "engine": {"name": "average"},
            "detector": {"enabled": False},
            "output": {"out": folder / "o.mp4", "show": False},
            "record": {"folder": folder / "drive"},
            "monitor": {"serve": ":0", "metrics": ":0"},
            "max_frames": 40,
        }
    )
    tools = build_tools(config.engine, config.detector)
    tools.engine.prepare(160, 120)
    streams = open_streams(config)
    if request.param == "live":
        paced(streams, 30.0)
    watcher = Watcher()
    logger = logging.getLogger("fusecam")
    level = logger.level
    logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    try:
        with_detector = replace(tools, engine=Slow(tools.engine), detector=Finder())
        assert isinstance(with_detector, Tools)
        console = Console(quiet=True)
        done = run_streams(config, streams, with_detector, threading.Event(), console, more_sinks=[watcher])
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)
    assert done.outcome.failure is None
    return done.report, watcher, json_lines(folder / "o.jsonl"), request.param


def test_the_four_say_the_same(seen):
    report, watcher, lines, _ = seen
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
    people = {"person": expected["out"]}
    assert report["detections"] == watcher.page["detections"] == ended["detections"] == people
    assert watcher.metrics["fusecam_detections_total", "person"] == expected["out"]


def test_the_reports_own_parts_say_the_same(seen):
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
    assert (dropped > 0) == (kind == "live")  # the machine was too slow
