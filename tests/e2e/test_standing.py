"""Recordings in which the infrared camera stood behind its shutter, through the command."""

from __future__ import annotations

import json

import pytest

from ..pipeline.test_freeze import LIVE, STANDS, clip, drive, standing
from .command import QUICK, check_account, fusecam, json_lines

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("clock", [False, True])
def test_frozen_infrared_of_a_recording_is_left_out_and_counted(clock, tmp_path, monkeypatch, capfd):
    infrared = clip(tmp_path / "ir.mkv", standing(drive, clock=clock), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(0)), LIVE)
    out, report = tmp_path / "o.mkv", tmp_path / "r.json"
    said = fusecam(
        "--ir", infrared, "--vis", visible, "--out", out, "--report", report, "--offset-ms", 0, *QUICK,
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert said.code == 0, said
    assert "ir.mkv: the infrared picture is frozen from 4." in said.said
    cameras = check_account(json.loads(report.read_text()))
    frozen = cameras["infrared"]["frozen"]
    assert len(STANDS) - 15 <= frozen <= len(STANDS)
    assert cameras["visible"]["alone"] == frozen and cameras["visible"]["paired"] == 200 - frozen
    alone = [number for number, line in enumerate(json_lines(out.with_suffix(".jsonl"))) if line["skew_ms"] is None]
    assert set(alone) <= set(STANDS) and len(alone) == frozen


def test_static_scene_in_both_recordings_is_fused(tmp_path, monkeypatch, capfd):
    infrared = clip(tmp_path / "ir.mkv", standing(drive, own_noise=True), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, own_noise=True), LIVE)
    report = tmp_path / "r.json"
    said = fusecam(
        "--ir", infrared, "--vis", visible, "--report", report, "--offset-ms", 0, *QUICK,
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert said.code == 0 and "is frozen" not in said.said, said
    assert check_account(json.loads(report.read_text()))["visible"]["paired"] == 200


def test_frozen_visible_of_a_recording_is_kept_with_a_doubt(tmp_path, monkeypatch, capfd):
    infrared = clip(tmp_path / "ir.mkv", standing(drive, range(0)), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(100, 180)), LIVE)
    out, report = tmp_path / "o.mkv", tmp_path / "r.json"
    said = fusecam(
        "--ir", infrared, "--vis", visible, "--out", out, "--report", report, "--offset-ms", 0, *QUICK,
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert said.code == 3 and "vis.mkv: the visible picture is frozen from" in said.said, said
    told = json.loads(report.read_text())
    assert any("cut the recording there" in line for line in told["doubts"])
    assert len(json_lines(out.with_suffix(".jsonl"))) == told["frames"] == 200
    assert check_account(told)["visible"]["frozen"] == 0
