"""What is told of a run while it runs: addresses, counters as Prometheus reads them, events as JSON lines."""

import json
import logging
import re
import socket
import time
import urllib.request
from contextlib import nullcontext as DoesNotRaise
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from fusecam.pipeline.config import MonitorConfig
from fusecam.pipeline.core import log
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.monitoring import watch
from fusecam.pipeline.monitoring.address import Address, parse_address
from fusecam.pipeline.monitoring.metrics import BOUNDS_MS, MetricsEndpoint
from fusecam.pipeline.monitoring.watch import monitor_run

from .make_results import result
from .watching import run_view

LOOPBACK = Address("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback", "raises"),
    [
        (":9100", "127.0.0.1", 9100, True, DoesNotRaise()),
        ("localhost:80", "localhost", 80, True, DoesNotRaise()),
        ("[::1]:8080", "::1", 8080, True, DoesNotRaise()),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False, DoesNotRaise()),
        ("[::]:8080", "::", 8080, False, DoesNotRaise()),
        ("car-7.fleet:1", "car-7.fleet", 1, False, DoesNotRaise()),
        ("9100", "", 0, False, pytest.raises(InputError, match="--metrics 9100: give")),
        (":65536", "", 0, False, pytest.raises(InputError, match="up to 65535")),
        (":", "", 0, False, pytest.raises(InputError)),
        ("http://h:1", "", 0, False, pytest.raises(InputError)),
        ("::1:8080", "", 0, False, pytest.raises(InputError)),
    ],
)
def test_addresses_are_parsed_or_refused(text, host, port, loopback, raises):
    with raises:
        address = parse_address("--metrics", text)
        assert (address.host, address.port, address.loopback) == (host, port, loopback)


def test_histogram_counts_equal_the_samples():
    recorder, rng = LatencyRecorder(), np.random.default_rng(3)
    samples = (10 ** rng.uniform(4, 10, 3000)).astype(np.int64)
    for sample in samples:
        recorder.add("fuse", int(sample))
    bounds = [round(bound * 1e6) for bound in BOUNDS_MS]
    found = recorder.histograms(bounds)["fuse"]
    assert found.count == 3000
    assert found.total == int(samples.sum())
    for bound, below in zip(bounds, found.below, strict=True):
        assert (samples <= bound).sum() <= below <= (samples <= bound * (1 + 1 / 128)).sum()


def scraped(endpoint):
    with urllib.request.urlopen(f"http://{endpoint.address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_prometheus_reads_every_counter_and_none_decreases():
    view = run_view()
    endpoint = MetricsEndpoint(LOOPBACK, view, print)
    try:
        first = scraped(endpoint)
        assert not any(name[0] == "fusecam_haze_density" for name in first)  # nothing was seen yet
        view.health_of_run.count("infrared", "stalls", 2)
        view.health_of_run.frame("visible", time.monotonic_ns())
        view.recorder.add("fuse", 7_000_000)
        found = [Detection("person", 0.9, (0, 0, 9, 9)), Detection('a "quoted"\n name', 0.8, (0, 0, 9, 9))]
        view.write(result(0, detections=found))
        view.write(result(1, detections=found[:1]))
        second = scraped(endpoint)
    finally:
        endpoint.close()
    assert all(second[name] >= value for name, value in first.items() if name[0].endswith(("_total", "_bucket")))
    assert second["fusecam_camera_stalls_total", ("camera", "infrared")] == 2
    assert second["fusecam_camera_state", ("camera", "visible"), ("state", "live")] == 1
    assert second["fusecam_camera_state", ("camera", "infrared"), ("state", "live")] == 0
    assert second["fusecam_detections_total", ("class", "person")] == 2
    assert second["fusecam_detections_total", ("class", 'a "quoted"\n name')] == 1
    assert second["fusecam_haze_density",] == pytest.approx(0.2)
    assert second["fusecam_stage_seconds_bucket", ("le", "0.005"), ("stage", "fuse")] == 0
    assert second["fusecam_stage_seconds_bucket", ("le", "0.01"), ("stage", "fuse")] == 1
    assert second["fusecam_stage_seconds_sum", ("stage", "fuse")] == pytest.approx(0.007)
    info = next(name for name in second if name[0] == "fusecam_info")
    assert ("engine", "tiny:openvino:f32") in info
    assert 0 <= second["fusecam_camera_last_frame_age_seconds", ("camera", "visible")] < 60


@pytest.mark.parametrize("option", ["metrics", "serve"])
def test_port_in_use_is_a_one_line_error(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f":{taken.getsockname()[1]}"
        config = MonitorConfig.model_validate({option: address})
        expected = pytest.raises(InputError, match=f"--{option} 127.0.0.1{address}: cannot listen")
        with expected as error, monitor_run(config, run_view(), Console(quiet=True)):
            pass
        assert "\n" not in str(error.value)


@pytest.fixture
def json_log(capsys):
    log.write_json_lines()
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logger = logging.getLogger("fusecam")
    for handler in [h for h in logger.handlers if isinstance(h.formatter, log.JsonLines)]:
        logger.removeHandler(handler)


def test_events_contain_no_secrets(json_log, caplog):
    logger = logging.getLogger("fusecam")
    logger.addHandler(caplog.handler)
    try:
        log.log_event(
            "warning", url="http://h/?token=Zq81hunter2", path=[{"rtsp://u:Zq81hunter2@h": (1, "pwd=Zq81hunter2")}]
        )
    finally:
        logger.removeHandler(caplog.handler)
    (line,) = json_log()
    assert line["url"] == "http://h/?token=***"
    assert "Zq81hunter2" not in str(line)
    assert "Zq81hunter2" not in str([vars(record) for record in caplog.records])


def test_events_are_json_lines(json_log):
    warnings = ["first\nof two lines"]
    view = run_view(warnings)
    with monitor_run(MonitorConfig(), view, Console(quiet=True)):
        view.health_of_run.frame("visible", time.monotonic_ns())
        time.sleep(0.6)  # events are looked for four times a second
        view.health_of_run.enter("visible", "lost")
        warnings.append("second")
    lines = json_log()
    assert [line["event"] for line in lines if line["event"] != "warning"] == ["started", "camera", "camera", "ended"]
    assert [line["state"] for line in lines if line["event"] == "camera"] == ["live", "lost"]
    assert [line["message"] for line in lines if line["event"] == "warning"] == ["first\nof two lines", "second"]
    assert lines[0]["engine"] == "tiny:openvino:f32"
    assert all({"time", "level"} <= set(line) for line in lines)
    assert [line["level"] for line in lines if line.get("state") == "lost"] == ["warning"]


def test_every_documented_metric_exists():
    readme = (Path(__file__).parents[2] / "pipeline" / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in readme.splitlines() if line.startswith("- `--metrics"))
    names = re.findall(r"`(fusecam_\w+)", line) + [f"fusecam_camera{n}total" for n in re.findall(r"`(_\w+_)`", line)]
    assert len(names) > 7
    view = run_view()
    view.health_of_run.frame("visible", time.monotonic_ns())
    view.health_of_run.shown(time.monotonic_ns())
    view.recorder.add("fuse", 7_000_000)
    view.write(result(0, detections=[Detection("person", 0.9, (0, 0, 9, 9))]))
    endpoint = MetricsEndpoint(LOOPBACK, view, print)
    try:
        there = {name for name, *_ in scraped(endpoint)}
    finally:
        endpoint.close()
    assert [name for name in names if not {name, f"{name}_bucket"} & there] == []


def test_figures_are_logged_at_every_heartbeat(json_log, monkeypatch):
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.1)
    with monitor_run(MonitorConfig(), run_view(), Console(quiet=True)):
        time.sleep(1.0)
    told = [line for line in json_log() if line["event"] == "running"]
    assert len(told) >= 2 and all({"cameras", "run", "time"} <= set(line) for line in told)
