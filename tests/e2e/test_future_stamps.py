"""A camera whose clock ran for seconds before its first picture: its frames are not put into the future."""

import json

import numpy as np
import pytest

from ..pipeline.rtsp_server import RtspServer
from .command import QUICK, check_account, json_lines, presentation_times, start, street

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("early", ["infrared", "visible"])
def test_clock_started_before_the_first_frame_loses_no_frame(tmp_path, early):
    """The first picture says 0, the next one 4 s: 139 frames were "overtaken", every file had a hole of 5.4 s."""
    pictures = [street(i) for i in range(25)]
    with RtspServer(pictures, fps=25) as infrared, RtspServer(pictures, fps=25) as visible:
        (infrared if early == "infrared" else visible).ahead = 4
        out, report = tmp_path / "o.mp4", tmp_path / "r.json"
        outputs = ("--out", out, "--report", report, "--max-frames", 150)
        run = start("--ir", infrared.url, "--vis", visible.url, *outputs, *QUICK)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    times = presentation_times(out)
    assert len(times) == 150
    assert np.diff(times).max() < 1, "a hole"
    check_account(json.loads(report.read_text()))
    assert sum(line["skew_ms"] is not None for line in json_lines(tmp_path / "o.jsonl")) >= 0.85 * 150
