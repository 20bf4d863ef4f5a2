"""The drift warning as a person meets it: once on stderr, in the report, on the picture; silent where nothing moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ..pipeline.clips import write_video
from ..pipeline.test_drift import SAMPLES, shifted, there_and_back
from .command import QUICK, fusecam

pytestmark = pytest.mark.slow

LOOKS = 22  # 7 s


def clips(folder: Path, shift: int) -> tuple[Path, Path]:
    """Fog by night, at 25 frames in 8; from 3.5 s on infrared lies `shift` pixels to the right."""
    pairs = [there_and_back("fog_night", k) for k in range(LOOKS)]
    heat = [shifted(infrared, shift if k >= LOOKS // 2 else 0, 0) for k, (_, infrared) in enumerate(pairs)]
    pictures = [visible for visible, _ in pairs], [np.repeat(h[..., None], 3, axis=2) for h in heat]
    times = [8 * k for k in range(LOOKS)]
    visible, infrared = (
        write_video(folder / f"{name}.mp4", times, pictures=p) for name, p in zip(("vis", "ir"), pictures, strict=True)
    )
    return infrared, visible


@pytest.mark.parametrize("shift", [0, 8])
def test_drift_is_reported_once_in_every_output(
    shift: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    infrared, visible = clips(tmp_path, shift)
    out, report = tmp_path / "out.mp4", tmp_path / "run.json"
    answer = fusecam(
        *("--ir", infrared, "--vis", visible, "--rig", SAMPLES / "rig.yaml", "--offset-ms", 0),
        *(*QUICK, "--out", out, "--report", report),
        monkeypatch=monkeypatch,
        capfd=capfd,
    )
    assert answer.code == 0, answer.said
    told = json.loads(report.read_text())
    assert answer.said.count("infrared has moved") == (shift > 0)
    assert told["registration"]["moved"] == (shift > 0)
    assert told["latency"]["stages"]["drift"]["count"] == LOOKS
    assert sum("infrared has moved" in line for line in told["warnings"]) == (shift > 0)
    if shift:
        assert told["registration"]["shift_px"] == pytest.approx([shift, 0], abs=2.5)


def test_drift_check_can_be_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    infrared, visible = clips(tmp_path, 8)
    settings, report = tmp_path / "run.yaml", tmp_path / "run.json"
    settings.write_text("monitor: {drift: false}\n")
    answer = fusecam(
        *("--config", settings, "--ir", infrared, "--vis", visible, "--rig", SAMPLES / "rig.yaml", "--offset-ms", 0),
        *QUICK,
        "--report",
        report,
        monkeypatch=monkeypatch,
        capfd=capfd,
    )
    assert answer.code == 0 and "moved" not in answer.said
    assert json.loads(report.read_text())["registration"] is None
