"""`fusecam batch`: every clip whole or absent, failures told by the exit code."""

import gc
import io
import json
import pickle
import threading
from fractions import Fraction
from functools import partial

import pytest
from rich.console import Console

from fusecam.calib.atomic import atomic
from fusecam.engines.base import Fused
from fusecam.pipeline.batch.clips import Clip, Row, Work, run_clip, summary_table
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.frames import Frame

from .command import DETECTING, QUICK, fusecam, pair_of_clips, presentation_times

pytestmark = pytest.mark.slow

VARIABLE = [0, 3, 4, 9, 20, 21, 22, 40, 41, 55]
COMMON = QUICK


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, "batch", monkeypatch=monkeypatch, capfd=capfd)


def test_all_clips_keep_their_times_and_a_second_batch_skips_them(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    clips = {
        "a": pair_of_clips(drives, name="a"),
        "b": pair_of_clips(drives, name="b", times=VARIABLE, time_base=Fraction(1, 30)),
    }
    answer = run(drives, drives, "--out", out, *COMMON)
    assert answer.code == 0, answer.said
    for name, (_, vis) in clips.items():
        assert presentation_times(out / f"{name}.mp4") == presentation_times(vis)
        assert json.loads((out / f"{name}.report.json").read_text())["frames"] == len(presentation_times(vis))
        assert (out / f"{name}.jsonl").exists()
    written = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = run(drives, drives, "--out", out, *COMMON)
    assert again.code == 0
    assert "2 kept" in again.said
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == written


def test_equal_clip_names_in_different_folders_do_not_collide(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "drives/fused"
    for name in ("monday", "tuesday"):
        for path in pair_of_clips(drives / name, name="x", frames=5):
            path.rename(path.with_stem(path.stem.removeprefix("x_")))
    patterns = f"{drives}/**/ir.mp4", f"{drives}/**/*.mp4"
    answer = run(*patterns, "--out", out, *COMMON)
    assert answer.code == 0, answer.said
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {
        f"{name}{suffix}" for name in ("monday", "tuesday") for suffix in (".mp4", ".jsonl", ".report.json")
    }
    again = run(*patterns, "--out", out, *COMMON)
    assert again.code == 0 and "2 kept" in again.said, again.said  # results are no clips


def test_monitoring_of_a_single_run_is_reported_as_ignored(tmp_path, run):
    drives, settings = tmp_path / "drives", tmp_path / "run.yaml"
    pair_of_clips(drives)
    settings.write_text("monitor: {metrics: ':9100', drift: false}\n")
    answer = run(drives, drives, "--out", tmp_path / "out", "--config", settings, *COMMON)
    assert answer.code == 0
    assert "ignored: monitor.metrics, which watch a single run" in answer.said
    assert "drift" not in answer.said


def test_bad_clip_does_not_stop_the_others(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, name="good")
    _, bad = pair_of_clips(drives, name="bad")
    bad.write_bytes(bad.read_bytes()[:200])
    answer = run(drives, drives, "--out", out, *COMMON)
    assert answer.code == 1
    assert "bad_vis.mp4" in answer.said
    assert "1 done, 1 failed" in answer.said
    assert sorted(path.name for path in out.iterdir()) == ["good.jsonl", "good.mp4", "good.report.json"]


@pytest.mark.parametrize("suffix", [".mp4", ".jsonl", ".report.json"])
def test_foreign_file_in_the_place_of_a_result_is_kept(tmp_path, run, suffix):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives)
    out.mkdir()
    (out / f"a{suffix}").write_bytes(b"precious")
    answer = run(drives, drives, "--out", out, "--force", *COMMON)
    assert answer.code == 1
    assert f"failed a: {out}/a{suffix}: is in the way and was not written by fusecam; move it" in answer.said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {f"a{suffix}": b"precious"}


def test_link_to_nothing_is_a_one_line_error(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, name="good")
    _, vis = pair_of_clips(drives, name="lost")
    vis.unlink()
    vis.symlink_to(tmp_path / "gone.mp4")
    answer = run(drives, drives, "--out", out, *COMMON)
    assert answer.code == 1 and "1 done, 1 failed" in answer.said
    assert f"failed lost: {vis}: a link to a file that is not there\n" in answer.said


def test_clip_of_another_batch_is_left_alone(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives)
    assert run(drives, drives, "--out", out, *COMMON).code == 0
    before = {path: path.stat().st_ino for path in out.iterdir()}
    with pytest.raises(KeyboardInterrupt), atomic(out / "a.report.json"):
        answer = run(drives, drives, "--out", out, "--force", *COMMON)
        assert answer.code == 1 and "another run is writing this" in answer.said
        raise KeyboardInterrupt
    assert {path: path.stat().st_ino for path in out.iterdir()} == before


def test_link_in_the_place_of_a_result_does_not_cost_its_target(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    _, vis = pair_of_clips(drives)
    clip = vis.read_bytes()
    assert run(drives, drives, "--out", out, *COMMON).code == 0
    (out / "a.mp4").unlink()
    (out / "a.mp4").symlink_to(vis)
    answer = run(drives, drives, "--out", out, *COMMON)
    assert answer.code == 1 and "is also the input" in answer.said
    assert vis.read_bytes() == clip


def test_row_of_the_pairs_table_without_clips_is_a_doubt(tmp_path, run):
    drives, out, table = tmp_path / "drives", tmp_path / "out", tmp_path / "pairs.csv"
    pair_of_clips(drives)
    table.write_text("a_vis,a_ir\nlost_vis,lost_ir\n")
    order = drives, drives, "--out", out, "--pairs", table, *COMMON
    answer = run(*order, "--strict")
    assert answer.code == 1 and "--strict:" in answer.said and not out.exists()
    answer = run(*order)
    assert answer.code == 3 and "1 done, 1 doubtful in --pairs" in answer.said
    assert "1 of 2 rows name files that are not there, lost_vis,lost_ir first" in answer.said


def test_log_has_one_line_for_each_clip(tmp_path, run):
    drives = tmp_path / "drives"
    for name in "abc":
        pair_of_clips(drives, name=name, frames=3)
    said = run(drives, drives, "--out", tmp_path / "out", *COMMON).said
    assert [line[:6] for line in said.splitlines()[:4]] == ["done a", "done b", "done c", "batch "], said


def test_summary_cuts_no_name():
    text, name = io.StringIO(), "drive_" * 40
    Console(file=text, width=80).print(summary_table([Row(name, "failed")], 1, 0, 0))
    cells = [line.split("│")[1].strip() for line in text.getvalue().splitlines() if line.startswith("│")]
    assert "".join(cells) == name


def test_row_stays_small_whatever_the_report(tmp_path):
    ir, vis = pair_of_clips(tmp_path / "drives", frames=100)
    settings = {"engine": {"name": "average"}, "detector": {"enabled": False}, "sync": {"offset_ms": 0}}
    work = Work.prepare(RunConfig.model_validate(settings | {"output": {"frame_latencies": True}}), force=False)
    clip = Clip("a", ir, vis, tmp_path / "out")
    for status in ("done", "kept"):
        row = run_clip(clip, work, threading.Event(), Console(quiet=True), "a")
        assert row.status == status and row.figures.frames == 100
        assert len(pickle.dumps(row)) < 1000
    assert len(json.loads(clip.report_path.read_text())["latency"]["frame_latencies"]) == 100


def test_clips_before_the_last_hold_no_frames(tmp_path):
    settings = {"engine": {"name": "average"}, "detector": {"enabled": False}, "sync": {"offset_ms": 0}}
    work = Work.prepare(RunConfig.model_validate(settings), force=True)
    clip = Clip("a", *pair_of_clips(tmp_path / "drives", frames=5), tmp_path / "out")
    gc.collect()
    gc.disable()
    try:
        held = []
        for _ in range(4):
            assert run_clip(clip, work, threading.Event(), Console(quiet=True), "a").status == "done"
            held.append(sum(type(each) in (Frame, Fused) for each in gc.get_objects()))
    finally:
        gc.enable()
    assert held[-1] <= held[0], held


def test_unpaired_clip_is_reported(tmp_path, run):
    drives = tmp_path / "drives"
    pair_of_clips(drives, name="a")
    pair_of_clips(drives, name="b")[0].unlink()
    answer = run(drives, drives, "--out", tmp_path / "out", *COMMON)
    assert answer.code == 1
    assert "b_vis.mp4" in answer.said
    assert "1 without partner" in answer.said


def test_results_inside_the_input_folder_are_refused(tmp_path, run):
    drives = tmp_path / "drives"
    pair_of_clips(drives)
    answer = run(drives, drives, "--out", drives, *COMMON)
    assert answer.code == 1
    assert len(answer.said.strip().splitlines()) == 1
    assert str(drives) in answer.said
    assert sorted(path.name for path in drives.iterdir()) == ["a_ir.mp4", "a_vis.mp4"]


def test_file_as_output_folder_is_a_one_line_error(tmp_path, run):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives)
    out.write_text("notes")
    answer = run(drives, drives, "--out", out, *COMMON)
    assert answer.code == 1 and answer.said.strip().endswith(f"--out {out}: is a file; give a folder for the results")
    assert out.read_text() == "notes"


@pytest.mark.parametrize("source", ["nowhere", "empty", "*.xyz"])
def test_empty_batch_is_a_one_line_error(tmp_path, run, source):
    (tmp_path / "empty").mkdir()
    answer = run(tmp_path / source, tmp_path / source, "--out", tmp_path / "out", *COMMON)
    assert answer.code == 1
    assert len(answer.said.strip().splitlines()) == 1
    assert source in answer.said


def test_unusable_weights_are_refused_once_before_the_first_clip(tmp_path, run):
    drives, folder = tmp_path / "drives", tmp_path / "weights"
    for name in "abc":
        pair_of_clips(drives, name=name, frames=3)
    folder.mkdir()
    answer = run(drives, drives, "--out", tmp_path / "out", *DETECTING, "--detector", folder)
    assert answer.code == 1
    assert answer.said.count("not weights for the detector") == 1 and "failed" not in answer.said
    assert not list((tmp_path / "out").glob("*"))
