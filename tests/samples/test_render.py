"""The renderer's command: what it writes and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fusecam.samples.render import RIG_FILE, main

from .test_clips import read_clip


@pytest.mark.slow
def test_short_scene_is_written_completely(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "clips"), "--scene", "clear_night", "--seconds", "0.2"])
    out = tmp_path / "clips"
    expected = {f"clear_night_{part}" for part in ("vis.mp4", "ir.mp4", "clear.mp4", "depth.mp4", "truth.jsonl")}
    assert {path.name for path in out.iterdir()} == expected | {"rig.yaml", "truth.yaml"}
    assert len(list(read_clip(out / "clear_night_vis.mp4", False))) == 5
    assert len(list(read_clip(out / "clear_night_ir.mp4", True))) == 6
    assert [json.loads(line)["frame"] for line in (out / "clear_night_truth.jsonl").open()] == list(range(5))
    assert (out / "rig.yaml").read_bytes() == RIG_FILE.read_bytes()
    assert yaml.safe_load((out / "truth.yaml").read_text())["scenes"]["clear_night"]["time_offset_ms"] == -118.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x", "--seconds", "0"], "0.2 to 8 seconds"),
        (["--out", "x", "--seconds", "nan"], "0.2 to 8 seconds"),
        (["--out", "x", "--seconds", "long"], "0.2 to 8 seconds"),
        (["--out", "x", "--scene", "snow"], "fog_day"),
        ([], "--out"),
    ],
)
def test_invalid_options_are_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_file_as_output_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "taken"
    place.write_text("")
    with pytest.raises(SystemExit):
        main(["--out", str(place)])
    last = capsys.readouterr().err.splitlines()[-1]
    assert str(place) in last and "choose a folder" in last
    assert place.read_text() == ""
