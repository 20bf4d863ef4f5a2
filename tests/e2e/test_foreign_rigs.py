"""Runs with another tool's calibration: what it does not say is a doubt, in a run and in a batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ..calib.test_foreign import camchain, store
from .command import QUICK, check_account, fusecam, pair_of_clips

pytestmark = pytest.mark.slow

LENS = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
STEREO = {"K1": LENS, "D1": [0.0] * 5, "K2": LENS, "D2": [0.0] * 5, "R": np.eye(3), "T": np.array([-0.08, 0, 0])}


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    infrared, visible = pair_of_clips(tmp_path / "clips", 8)

    def run(*words: object):
        first = ("--ir", infrared, "--vis", visible)
        if words[0] == "batch":
            first, words = ("batch", infrared.parent, infrared.parent, "--out", tmp_path / "out"), words[1:]
        given = (*first, "--offset-ms", 0, *QUICK, *words)
        return fusecam(*given, monkeypatch=monkeypatch, capfd=capfd)

    return run


def test_unknown_camera_order_is_a_doubt_until_the_file_states_it(run, tmp_path):
    rig, out, report = store(tmp_path / "stereo.yml", STEREO), tmp_path / "o.mp4", tmp_path / "r.json"
    answer = run("--rig", rig, "--out", out, "--report", report)
    assert answer.code == 3 and out.exists(), answer
    assert "stereo.yml: does not tell which camera is which" in answer.said
    told = json.loads(report.read_text())
    assert len(told["doubts"]) == 1 and "aligned at 20 m; --distance" in " ".join(told["warnings"])
    check_account(told)
    out.unlink()
    answer = run("--rig", rig, "--out", out, "--strict")
    assert answer.code == 1 and "--strict: " in answer.said and not out.exists()
    rig = store(tmp_path / "named.yml", STEREO | {"first": "visible"})
    assert run("--rig", rig, "--out", out, "--distance", 5, "--strict").code == 0


def test_doubtful_clip_of_a_batch_is_reported(run, tmp_path):
    rig = store(tmp_path / "stereo.yml", STEREO)
    answer = run("batch", "--rig", rig)
    assert answer.code == 3 and "doubtful" in answer.said
    assert json.loads((tmp_path / "out" / "a.report.json").read_text())["doubts"]
    assert run("batch", "--rig", rig, "--strict", "--force").code == 1


def test_changed_file_of_a_rig_folder_repeats_a_clip(run, tmp_path):
    (tmp_path / "rig").mkdir()
    store(tmp_path / "rig" / "intrinsics.yml", {"M1": LENS, "M2": LENS, "first": "visible"})
    extrinsics = {"R": np.eye(3), "T": np.array([-0.08, 0, 0])}
    words = ("batch", "--rig", tmp_path / "rig")
    for shift, answer in ((-0.08, "done"), (-0.08, "kept"), (-0.07, "done")):
        if answer == "done":
            store(tmp_path / "rig" / "extrinsics.yml", extrinsics | {"T": np.array([shift, 0, 0])})
        told = run(*words)
        assert told.code == 0 and f"1 {answer}" in " ".join(told.said.split()), told


def test_camchain_of_other_cameras_is_a_one_line_error(run, tmp_path):
    rig = camchain(tmp_path / "camchain.yaml", ("/rgb", "/thermal"), distortion_model="equidistant")
    answer = run("--rig", rig, "--out", tmp_path / "o.mp4")
    assert answer.code == 1 and "camchain.yaml: cam0.distortion_model: the lens model 'equidistant'" in answer.said


def test_reference_is_not_written_into_a_foreign_rig_file(tmp_path, monkeypatch, capfd):
    infrared, visible = pair_of_clips(tmp_path, 8)
    rig = store(tmp_path / "stereo.yml", STEREO | {"first": "visible"})
    before = rig.read_bytes()
    words = ("calibrate", "reference", "--ir", infrared, "--vis", visible, "--rig", rig, "--offset-ms", 0)
    answer = fusecam(*words, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and "another tool's calibration and stays as it is: give --out" in answer.said
    assert rig.read_bytes() == before and Path(rig).exists()
