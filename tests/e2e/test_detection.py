"""Detection through the whole command, with a real Ultralytics model of random weights that is sure of itself."""

import json
from functools import partial

import pytest

from ..pipeline.test_detect import NAMES, SMALL, build
from .command import QUICK, fusecam, json_lines, pair_of_clips


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    (folder / "yolo11n.yaml").write_text(SMALL.format(head="Detect"))
    return build(folder / "detector.pt", str(folder / "yolo11n.yaml"))


def test_boxes_reach_the_json_lines_the_report_and_the_picture(tmp_path, monkeypatch, capfd, weights):
    run = partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)
    ir, vis = pair_of_clips(tmp_path, frames=6, size=(320, 240))
    settings = tmp_path / "run.yaml"
    settings.write_text("detector: {confidence: 0.01}\n")
    arguments = ("--ir", ir, "--vis", vis, "--config", settings, "--weights", weights, *QUICK)
    answer = run(*arguments, "--out", tmp_path / "o.mp4", "--report", tmp_path / "r.json")
    assert answer.code == 0, answer.said
    found = [detection for line in json_lines(tmp_path / "o.jsonl") for detection in line["detections"]]
    assert found
    for detection in found:
        assert set(detection) == {"class", "score", "box"}
        assert detection["class"] in NAMES.values()
        x1, y1, x2, y2 = detection["box"]
        assert 0 <= x1 < x2 <= 320
        assert 0 <= y1 < y2 <= 240
    report = json.loads((tmp_path / "r.json").read_text())
    assert sum(report["detections"].values()) == len(found)
    assert "detect" in report["latency"]["stages"]


def test_a_class_that_the_model_does_not_know(tmp_path, monkeypatch, capfd, weights):
    ir, vis = pair_of_clips(tmp_path, frames=3)
    settings = tmp_path / "run.yaml"
    settings.write_text("detector: {classes: [unicorn]}\n")
    run = partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)
    answer = run("--ir", ir, "--vis", vis, "--config", settings, "--weights", weights, "--out", tmp_path / "o.mp4")
    assert answer.code == 1
    assert "unicorn" in answer.said
    assert "person" in answer.said
    assert not (tmp_path / "o.mp4").exists()


def test_doctor_tells_the_machine_and_the_choice(monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["fusecam", "doctor"])
    monkeypatch.setenv("COLUMNS", "200")
    from fusecam.pipeline import cli

    with pytest.raises(SystemExit) as leaving:
        cli.main()
    said = capfd.readouterr().out
    assert leaving.value.code == 0
    for word in ("processor", "cores", "libx264", "physics:openvino:f32", "cameras", "engine"):
        assert word in said
