"""`fusecam bench` as a person runs it: what is printed, what is written, how it ends. Never how fast."""

import json
import os
import signal
import tempfile
import time
from datetime import datetime
from functools import partial

import pytest

from fusecam.pipeline import cli
from fusecam.pipeline.core import machine

from ..pipeline.detectors import own_weights
from .command import fusecam, leftovers, processes, start

pytestmark = pytest.mark.slow

REPEATS, FRAMES, FPS = 43, 525, 120.0
WORK = {"decode vis", "decode ir", "register", "fuse", "overlay", "write", "age"}
FIGURES = {"count", "mean_ms", "p50_ms", "iqr_ms", "p95_ms", "p99_ms", "max_ms", "jitter_ms"}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Several threads of torch wait for each other for long where the tests are not alone on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The command's folder, with report.json and what was printed as out.txt, run once for this file."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch, (folder / "out.txt").open("w") as out:
        patch.setattr("sys.stdout", out)
        patch.setenv("COLUMNS", "100")
        # every backend of one engine, but the chain by its default alone: each of its runs takes all of the clips
        asked = ["--engine", "average", "--size", "160x120", "--repeats", str(REPEATS), "--fps", str(FPS)]
        asked += ["--detector", str(own_weights(tmp_path_factory.mktemp("weights") / "small.safetensors"))]
        patch.setattr("sys.argv", ["fusecam", "bench", *asked, "--json", str(folder / "report.json")])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
    assert leaving.value.code == 0
    return folder


@pytest.fixture(scope="module")
def report(bench):
    return json.loads((bench / "report.json").read_text())


def test_report_holds_version_date_and_machine(report):
    assert report["schema"] == 1
    assert report["fusecam"] == machine.version("fusecam")
    assert datetime.fromisoformat(report["date"]).tzinfo is not None
    assert report["machine"] == machine.describe()
    assert report["settings"] == {"warmups": 10, "repeats": REPEATS, "rounds": 2, "cameras_fps": FPS}
    assert report["busy"] == any(row["busy"] for row in report["engines"] + report["chains"])
    assert len(report["load_average"]) == 3
    assert 0 <= report["pauses"]["share"] < 1 and report["pauses"].keys() == {"per_s", "longest_ms", "share"}


def test_every_engine_has_a_row(report):
    rows = {(row["engine"], row["variant"]): row for row in report["engines"]}
    torch = "average:torch:f32"
    assert [*rows] == [("average:openvino:f32", "plain"), (torch, "plain"), (torch, "kept")]
    for (engine, variant), row in rows.items():
        assert row["size"] == [160, 120]
        assert (row["network"], row["backend"], row["precision"]) == tuple(engine.split(":"))
        assert set(row["fuse"]) == FIGURES
        assert row["fuse"]["count"] == REPEATS
        assert 0 < row["fuse"]["p50_ms"] <= row["fuse"]["p95_ms"] <= row["fuse"]["p99_ms"] <= row["fuse"]["max_ms"]
        assert min(row["rounds_ms"]) <= row["fuse"]["p50_ms"] <= max(row["rounds_ms"]) + 0.001
        assert len(row["rounds_ms"]) == 2
        assert 0 <= row["others"] <= 1
        assert row["first_frame_s"] > 0
        assert row["peak_mib"] > 50
        assert row["page_faults"] >= 0
        assert bool(row["environment"]) == (variant == "kept")
        assert (row["cold"] is None) == (row["backend"] == "torch")
    # converting a network takes torch, in a process of its own
    first, following = rows["average:openvino:f32", "plain"]["cold"], rows["average:openvino:f32", "plain"]
    assert first["peak_mib"] < 1.5 * following["peak_mib"] < rows[torch, "plain"]["peak_mib"]


def test_chain_is_reported_by_stage(report):
    assert [
        (chain["engine"], chain["cameras_fps"], (chain["detector"] or "none").split(":")[0])
        for chain in report["chains"]
    ] == [("average:openvino:f32", fps, detector) for fps in (None, FPS) for detector in ("none", "small")]
    for chain in report["chains"]:
        recorded = chain["cameras_fps"] is None
        assert chain["frames"] == FRAMES
        assert chain["out"] == FRAMES if recorded else 0 < chain["out"] <= FRAMES
        assert chain["paired"] == FRAMES or not recorded
        assert set(chain["stages"]) >= WORK
        for stage in chain["stages"].values():
            assert set(stage) == FIGURES
            assert stage["count"] == FRAMES or not recorded
        assert chain["fps"] < 1.1 * FPS or recorded
        assert chain["fps"] > 0
        assert chain["peak_mib"] > 50
        assert chain["warnings"] == []


def test_detector_has_a_row(report):
    (row,) = report["detectors"]
    assert row["detector"] in ("small:openvino:f32", "small:openvino:bf16")
    assert row["size"] == [160, 120]
    assert set(row["detect"]) == FIGURES
    assert row["detect"]["count"] == REPEATS
    assert row["cold"]["peak_mib"] < 1.5 * row["peak_mib"]  # torch is in a process of its own


def test_networks_are_listed_beside_published_ones(bench, report):
    assert report["networks"] == [{"network": "average", "size": [160, 120], "parameters": 0, "gflops": 0}]
    assert {"SeAFusion", "LUT-Fuse", "MMDRFuse-student"} <= {row["name"] for row in report["published"]["networks"]}
    assert report["published"]["source"].startswith("measured by the project on 2 CPU cores")
    printed = (bench / "out.txt").read_text()
    assert "average:torch:f32 kept" in printed
    assert "as fast as it goes" in printed
    assert f"live, cameras at {FPS:g} fps" in printed
    assert "core stood still" in printed
    assert "few" in printed
    assert "SeAFusion" not in printed  # measured at another size, so nothing to compare


def test_bench_leaves_only_the_report(bench):
    assert leftovers(bench) == []


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_bench_leaves_nothing(tmp_path, monkeypatch, interrupt):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    target = tmp_path / "report.json"
    process = start("bench", "--engine", "average:torch", "--size", "64x48", "--repeats", 10**6, "--json", target)
    try:
        deadline = time.monotonic() + 120
        while not (
            children := processes("fusecam.pipeline.bench.child", process.pid)
        ):  # without a pause: the moment after the start is the delicate one
            assert time.monotonic() < deadline and process.poll() is None, "the measuring did not get going"
        os.kill(process.pid, interrupt)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "nothing is written" in said
    assert "Traceback" not in said
    assert not any(child.is_running() for child in children)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_failed_job_is_reported_and_the_others_are_kept(tmp_path, run):
    weights = tmp_path / "yolo.pt"
    weights.write_text("no weights\n")
    target = tmp_path / "report.json"
    arguments = (
        "--engine",
        "average:openvino:f32",
        "--size",
        "64x48",
        "--repeats",
        3,
        "--fps",
        240,
        "--detector",
        weights,
    )
    answer = run("bench", *arguments, "--json", target)
    assert answer.code == 1
    assert f"error: average:openvino:f32 could not be measured: {weights}: " in answer.said
    assert "Traceback" not in answer.said
    written = json.loads(target.read_text())
    assert str(weights) in written["chains"][1]["error"]
    assert written["engines"][0]["fuse"]["count"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "nothing"), "unknown name 'nothing'"),
        (("--size", "big"), "--size big"),
        (("--detector", "/nowhere.pt"), "/nowhere.pt"),
        (("--engine", "average", "--json", "/proc/report.json"), "/proc/report.json"),
    ],
)
def test_refusals_are_one_line_errors(tmp_path, monkeypatch, run, arguments, said):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = run("bench", *arguments)
    assert answer.code == 1
    assert said in answer.said
    assert answer.said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
