"""What may be wrong with a result is said at once, once, in the report and by the exit code; `--strict` refuses it."""

import json
from pathlib import Path

import pytest

from fusecam.pipeline.core.doubts import DOUBTFUL, Doubts

from ..e2e.command import fusecam, leftovers, pair_of_clips


def test_doubts_are_unique_and_replayed_to_new_listeners() -> None:
    doubts, heard = Doubts(), list[str]()
    doubts.add("a")
    doubts.follow(heard.append)
    doubts.add("b")
    doubts.add("a")
    assert heard == ["a", "b"] == list(doubts) and len(doubts) == 2


@pytest.mark.parametrize(("settled", "code"), [((), DOUBTFUL), (("--offset-ms", 0), 0)])
def test_unmeasured_offset_is_a_doubt_until_given(
    tmp_path: Path,
    settled: tuple[object, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    infrared, visible = pair_of_clips(tmp_path, frames=8)
    out, report = tmp_path / "out.mp4", tmp_path / "run.json"
    answer = fusecam(
        "--ir", infrared, "--vis", visible, "--out", out, "--report", report, "--no-detect",
        "--engine", "average", *settled,        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    doubts = json.loads(report.read_text())["doubts"]
    assert answer.code == code and out.exists()
    assert answer.said.count("doubtful: time offset not measured") == len(doubts) == (code == DOUBTFUL)


def test_strict_mode_refuses_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    infrared, visible = pair_of_clips(tmp_path, frames=8)
    answer = fusecam(
        "--ir", infrared, "--vis", visible, "--out", tmp_path / "out.mp4", "--no-detect", "--strict",
        "--engine", "average",        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert answer.code == 1 and "--strict: time offset not measured" in answer.said
    assert not (tmp_path / "out.mp4").exists() and leftovers(tmp_path) == []
