"""A run whose window is closed by a person ends there, with every output whole and every frame counted."""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial

import pytest

from ..pipeline.rtsp_server import RtspServer
from ..pipeline.screen import close_button, window_of, xdotool
from .command import COMMAND, QUICK, check_account, json_lines, leftovers, pair_of_clips, presentation_times, street

FRAMES = 4000


@pytest.fixture(params=["recordings", "cameras"])
def sources(request, tmp_path):
    if request.param == "recordings":
        yield pair_of_clips(tmp_path, frames=FRAMES, size=(64, 48))
        return
    with (
        RtspServer([street(i) for i in range(25)], fps=10) as ir,
        RtspServer([street(i) for i in range(25)], 10) as vis,
    ):
        yield ir.url, vis.url


def still_runs(process):
    time.sleep(0.05)
    assert process.poll() is None, process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "lost"])
def test_closed_window_ends_the_run_with_every_frame_counted(tmp_path, monkeypatch, display, sources, how):
    monkeypatch.setenv("DISPLAY", display)
    out, report = tmp_path / "o.mp4", tmp_path / "r.json"
    files = ("--show", "--out", out, "--record", tmp_path / "drive", "--report", report)
    arguments = map(str, ("--ir", sources[0], "--vis", sources[1], *files, *QUICK))
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            window = window_of("fusecam", partial(still_runs, process), patience_s=90)
            time.sleep(0.5)  # in the midst of the frames
            if how == "closed":
                close_button(window)
            else:
                xdotool("windowkill", window)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    told = json.loads(report.read_text())
    assert told["ended"] == "interrupted" and told["failure"] is None
    assert any("the window was lost" in line for line in told["warnings"]) == (how == "lost")
    check_account(told)
    assert 1 <= told["frames"] < FRAMES, told["health"]
    assert len(presentation_times(out)) == len(json_lines(out.with_suffix(".jsonl"))) == told["frames"]
    run = told["health"]["run"]
    assert run["output_losses"] == 0, run
    assert run["recorder_frames"] + run["recorder_frames_lost"] == told["frames"], run  # a busy machine's disk is slow
    recorded = (tmp_path / "drive").glob("*_fused.mp4")
    assert sum(len(presentation_times(video)) for video in recorded) == run["recorder_frames"]
    assert leftovers(tmp_path) == []
