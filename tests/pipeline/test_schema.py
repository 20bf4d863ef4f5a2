"""Versions and schemas of what fusecam writes and reads. Outputs of runs of all kinds are checked where they are read:
see `json_lines` and `check_account` of tests/e2e/command.py."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from fusecam.calib.rig import RigError, load_rig
from fusecam.pipeline.cli import app
from fusecam.pipeline.commands.labels import read as read_lines
from fusecam.pipeline.commands.schema import FORMATS, schema
from fusecam.pipeline.config import RunConfig, load
from fusecam.pipeline.errors import InputError

from ..e2e.command import QUICK, fusecam, json_lines, pair_of_clips, read_report
from ..schemas import check

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.mark.parametrize("name", FORMATS)
def test_command_prints_every_schema(name: str) -> None:
    done = CliRunner().invoke(app, ["schema", name])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == schema(name)
    assert schema(name)["properties"]["version"]["const"] == 1
    assert f"{name}: " in " ".join(CliRunner().invoke(app, ["schema", "--help"], env={"COLUMNS": "300"}).output.split())


def test_unknown_schema_is_a_one_line_error() -> None:
    with pytest.raises(InputError, match="nothing: no such schema; there are frames, camera"):
        schema("nothing")


def test_files_of_a_run_follow_their_schemas(tmp_path, monkeypatch, capfd) -> None:
    ir, vis = pair_of_clips(tmp_path)
    words = (
        "--out",
        tmp_path / "o.mp4",
        "--report",
        tmp_path / "r.json",
        "--frame-latencies",
        "--log-json",
    )
    answer = fusecam(
        "--ir", ir, "--vis", vis, "--record", tmp_path / "d", "--rig", rig(tmp_path), *words, *QUICK,
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert answer.code == 0, answer.said
    names = ["o.jsonl", *(str(path.relative_to(tmp_path)) for path in tmp_path.glob("d/*.jsonl"))]
    assert len(names) == 4
    for name in names:
        lines = json_lines(tmp_path / name)
        assert lines[0]["version"] == 1
        assert ("utc" in lines[0]) == (name != "o.jsonl")
    report = read_report(tmp_path / "r.json")
    assert report["version"] == report["config"]["version"] == 1
    assert report["registration"] is not None
    events = [json.loads(line) for line in answer.said.splitlines()]
    for event in events:
        jsonschema.validate(event, schema("log"))
    for change in ({"frames": "30"}, {"version": 2}, {"more": 1}, {"doubts": None}, {"sync": {}}, {"machine": {}}):
        with pytest.raises(jsonschema.ValidationError):
            check("report", report | change)
    # The settings of a report are a run file.
    check("run", report["config"])
    assert load(report["config"]).model_dump(mode="json") == report["config"]


def rig(folder: Path) -> Path:
    """A rig file for the clips made here."""
    camera = {"width": 160, "height": 120}
    same = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    (folder / "rig.yaml").write_text(yaml.dump({"visible": camera, "infrared": camera, "homography": same}))
    return folder / "rig.yaml"


def test_shipped_samples_follow_their_schemas() -> None:
    for name, file in (("rig", "rig.yaml"), ("run", "vehicle.yaml")):
        content = yaml.safe_load((SAMPLES / file).read_text())
        check(name, content)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | {"unknown": 1}, schema(name))


@pytest.mark.parametrize("source", [0, "dev0", {"source": 0, "rate": 9}, None])
def test_schema_covers_every_form_of_a_source(source) -> None:
    content = {"sources": {"ir": source}}
    check("run", content)
    RunConfig.model_validate(content)


def test_newer_version_is_a_one_line_error_with_the_file_name(tmp_path, monkeypatch, capfd) -> None:
    says = "has format version 2, this fusecam reads version 1: install a newer fusecam"
    newer = tmp_path / "x.yaml"
    newer.write_text('{"version": 2, "something": "new", "sources": [1]}')
    for error, read in ((InputError, load), (RigError, load_rig), (InputError, read_lines)):
        with pytest.raises(error) as caught:
            read(newer)
        assert str(caught.value) == f"{newer}: {says}"
    ir, vis = pair_of_clips(tmp_path / "in", frames=3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.report.json").write_text('{"version": 2}')
    batch = ("batch", ir, vis, "--out", tmp_path / "out", *QUICK)
    answer = fusecam(*batch, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1
    assert f"failed a: {tmp_path}/out/a.report.json: {says}, or give --force" in answer.said
    assert (tmp_path / "out" / "a.report.json").read_text() == '{"version": 2}'
    assert fusecam(*batch, "--force", monkeypatch=monkeypatch, capfd=capfd).code == 0


def test_missing_version_means_the_first(tmp_path) -> None:
    file = rig(tmp_path)
    assert load_rig(file).version == 1
    (tmp_path / "run.yaml").write_text("strict: true")
    assert load(tmp_path / "run.yaml").version == 1
