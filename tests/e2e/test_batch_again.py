"""`fusecam batch` again: finished clips are kept, others and changed ones are done anew."""

import json
import os
import signal
import threading
import time
from functools import partial

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from fusecam.engines.networks import checkpoints
from fusecam.pipeline.batch.clips import Clip, Work, digest_weights, run_clip
from fusecam.pipeline.config import RunConfig

from .command import QUICK, fusecam, leftovers, pair_of_clips, presentation_times, start

pytestmark = pytest.mark.slow

COMMON = QUICK


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, "batch", monkeypatch=monkeypatch, capfd=capfd)


def replace_weights(folder):
    state = load_file(checkpoints.weights_file("tiny"))
    state["core.maps.bias"] += 0.1
    save_file(state, folder / "other.safetensors")
    checkpoints.import_weights("tiny", [folder / "other.safetensors"])


def test_changed_settings_changed_inputs_or_force_repeat_a_clip(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives)
    assert "1 done" in run(drives, drives, "--out", out, *COMMON).said
    assert "1 kept" in run(drives, drives, "--out", out, *COMMON).said
    assert "1 done" in run(drives, drives, "--out", out, "--overlay", *COMMON).said
    assert "1 done" in run(drives, drives, "--out", out, "--overlay", "--force", *COMMON).said
    pair_of_clips(drives, frames=12)
    assert "1 done" in run(drives, drives, "--out", out, "--overlay", *COMMON).said
    assert len(presentation_times(out / "a.mp4")) == 12


def test_changed_weights_repeat_a_clip(tmp_path, run, monkeypatch):
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "home"))
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, frames=5)
    order = drives, drives, "--out", out, "--offset-ms", 0, "--no-detect", "--engine", "tiny:torch:f32"
    assert "1 done" in run(*order).said
    assert "1 kept" in run(*order).said
    replace_weights(tmp_path)
    assert "1 done" in run(*order).said
    assert "1 kept" in run(*order).said


def test_clip_that_fails_now_keeps_no_results_of_another_input(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    _, vis = pair_of_clips(drives)
    assert run(drives, drives, "--out", out, *COMMON).code == 0
    vis.write_bytes(vis.read_bytes()[:200])
    assert "1 failed" in run(drives, drives, "--out", out, *COMMON).said
    assert list(out.iterdir()) == []


def test_weights_replaced_during_a_batch_are_not_taken_for_its_own(tmp_path, run, monkeypatch):
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "home"))
    drives, out = tmp_path / "drives", tmp_path / "out"
    clip = Clip("a", *pair_of_clips(drives, frames=5), out)
    settings = {"engine": {"name": "tiny:torch:f32"}, "detector": {"enabled": False}, "sync": {"offset_ms": 0}}
    work = Work.prepare(RunConfig.model_validate(settings | {"overlay": {"enabled": False}}), force=False)
    replace_weights(tmp_path)
    assert run_clip(clip, work, threading.Event(), Console(quiet=True), "a").status == "done"
    assert run_clip(clip, work, threading.Event(), Console(quiet=True), "a").status == "kept"
    order = drives, drives, "--out", out, "--offset-ms", 0, "--no-detect", "--engine", "tiny:torch:f32"
    assert "1 done" in run(*order).said
    assert "1 kept" in run(*order).said


@pytest.mark.parametrize("suffix", [".mp4", ".jsonl"])
def test_truncated_result_is_repeated(tmp_path, run, suffix):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, name="a")
    assert "1 done" in run(drives, drives, "--out", out, *COMMON).said
    whole = (out / f"a{suffix}").read_bytes()
    (out / f"a{suffix}").write_bytes(whole[:100])
    assert "1 done" in run(drives, drives, "--out", out, *COMMON).said
    assert len((out / f"a{suffix}").read_bytes()) == len(whole)


def test_clip_with_missing_json_lines_is_repeated(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives)
    run(drives, drives, "--out", out, *COMMON)
    (out / "a.jsonl").unlink()
    report = json.loads((out / "a.report.json").read_text())
    (out / "a.report.json").write_text(json.dumps(report | {"bytes": None}))  # they were missing then, too
    assert "1 done" in run(drives, drives, "--out", out, *COMMON).said
    assert (out / "a.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_batch_resumes_to_the_same_result(tmp_path, run, number):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, name="a", frames=10)
    _, vis = pair_of_clips(drives, name="b", frames=1200)
    arguments = (drives, drives, "--out", out, *COMMON)
    process = start("batch", *arguments)
    try:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 20_000 for path in out.glob("b*.partial*")):
            assert time.monotonic() < deadline and process.poll() is None, "the second clip did not get going"
            time.sleep(0.01)
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    assert not (out / "b.mp4").exists()
    first = (out / "a.mp4").stat().st_mtime_ns
    answer = run(*arguments)
    assert answer.code == 0, answer.said
    assert "1 done, 1 kept" in answer.said
    assert (out / "a.mp4").stat().st_mtime_ns == first
    assert presentation_times(out / "b.mp4") == presentation_times(vis)
    assert leftovers(out) == []


def test_exported_weights_folder_is_part_of_the_fingerprint(tmp_path):
    folder = tmp_path / "yolo_openvino_model"
    folder.mkdir()
    marks = set()
    for content in ("one", "two"):
        (folder / "yolo.bin").write_text(content)
        marks.add(digest_weights(RunConfig.model_validate({"detector": {"weights": folder}})))
    assert len(marks) == 2
