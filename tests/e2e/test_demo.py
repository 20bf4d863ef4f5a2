"""`fusecam demo` and the sample clips: what is promised of them, against the renderer's truth."""

import json
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml

from fusecam.calib.rig import load_rig
from fusecam.engines.detection.weights import DETECTOR_WEIGHTS
from fusecam.samples.truth import decode_depth

from .command import fusecam, json_lines, leftovers, presentation_times
from .near_people import SCENES, count_near

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's folder, run once for this file, by the README's words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("demo"))
        patch.setattr("sys.argv", ["fusecam", "demo"])
        from fusecam.pipeline import cli

        with pytest.raises(SystemExit) as leaving:
            cli.main()
        folder = Path("fusecam-demo").resolve()
    assert leaving.value.code == 0
    return folder


@pytest.mark.parametrize("scene", SCENES)
def test_video_has_every_visible_frame_at_its_time(demo, scene):
    assert presentation_times(demo / f"{scene}.mp4") == presentation_times(SAMPLES / f"{scene}_vis.mp4")
    assert len(json_lines(demo / f"{scene}.jsonl")) == len(presentation_times(SAMPLES / f"{scene}_vis.mp4"))


@pytest.mark.parametrize("scene", SCENES)
def test_time_offset_is_found_within_half_a_frame(demo, scene):
    truth = yaml.safe_load((SAMPLES / "truth.yaml").read_text())["scenes"][scene]
    sync = json.loads((demo / f"{scene}.report.json").read_text())["sync"]
    assert abs(sync["offset_ms"] - truth["time_offset_ms"]) < 0.5 * 1000 / truth["visible_rate"]
    assert sync["paired"] > 165


def test_demo_writes_images_and_prints_a_table(demo):
    sheet = cv2.imread(str(demo / "contact_sheet.png"))
    assert sheet.shape[1] > 6 * 300
    assert sheet.shape[0] > 3 * 200
    assert sheet.std() > 20
    table = (demo / "latency.txt").read_text()
    assert table.count("fuse") == 3
    assert leftovers(demo) == []


@pytest.mark.skipif(not DETECTOR_WEIGHTS.exists(), reason="no trained weights are installed")
@pytest.mark.parametrize("scene", SCENES)
def test_nearby_people_are_detected_in_most_frames(demo, scene):
    got = count_near(json_lines(demo / f"{scene}.jsonl"), scene)
    assert len(got.seen) > 5
    assert got.missed == {}


@pytest.mark.parametrize("scene", SCENES)
def test_registration_error_is_small_at_the_true_depth(scene):
    """Distance between where the rig's map looks and where the scene point of each visible pixel truly is."""
    rig = load_rig(SAMPLES / "rig.yaml")
    matrices = [np.array([[m[0], 0, m[2]], [0, m[1], m[3]], [0, 0, 1.0]]) for m in
                (rig.visible.intrinsics, rig.infrared.intrinsics)]  # fmt: skip
    x, y = np.meshgrid(np.arange(640.0), np.arange(480.0))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)[:, None]
    rays = cv2.undistortPoints(pixels, matrices[0], np.array(rig.visible.distortion)).reshape(-1, 2)
    map_x, map_y = (grid.ravel() for grid in rig.map())
    errors = []
    with av.open(str(SAMPLES / f"{scene}_depth.mp4")) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 50:
                continue
            levels = cv2.resize(frame.to_ndarray(format="gray"), (640, 480), interpolation=cv2.INTER_NEAREST).ravel()
            solid = levels < 254  # not the sky
            points = np.column_stack([rays, np.ones(len(rays))])[solid] * decode_depth(levels)[solid, None]
            rotation = cv2.Rodrigues(np.array(rig.rotation))[0]
            there = cv2.projectPoints(points, rotation, np.array(rig.translation), matrices[1],
                                      np.array(rig.infrared.distortion))[0].reshape(-1, 2)  # fmt: skip
            seen = (there > 0).all(axis=1) & (there < (383, 287)).all(axis=1)
            apart = np.hypot(there[:, 0] - map_x[solid], there[:, 1] - map_y[solid])[seen]
            errors.append(apart * rig.visible.intrinsics[0] / rig.infrared.intrinsics[0])
    assert np.median(np.concatenate(errors)) < 2  # visible pixels; one plane at 16 m: nearer and farther is parallax


def test_demo_refuses_a_file_as_folder(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").touch()
    answer = partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)("demo", "--out", tmp_path / "file")
    assert answer.code == 1
    assert str(tmp_path / "file") in answer.said
