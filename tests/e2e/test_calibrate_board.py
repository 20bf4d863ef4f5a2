"""`fusecam calibrate board` where somebody holds the board in front of the cameras and looks at the screen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.calib.board import make_board
from fusecam.calib.find import Finder, Found, suggest_size
from fusecam.calib.joint import View
from fusecam.calib.pictures import ViewImages
from fusecam.calib.rig import load_rig
from fusecam.pipeline.calibrate.capture import CapturedView, Views

from ..calib.rendered import pictures, random_rig
from .command import fusecam, pair_of_clips

pytestmark = pytest.mark.slow


def test_show_needs_a_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    infrared, visible = pair_of_clips(tmp_path, 5)
    order = ("calibrate", "board", "--ir", infrared, "--vis", visible, "--board", "8x6", "--square", "25mm")
    order += ("--out", tmp_path / "rig.yaml")
    answer = fusecam(*order, "--show", monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and "--show: this machine has no display" in answer.said
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and "8x6" in answer.said and "display" not in answer.said


@pytest.mark.parametrize(
    ("kind", "out", "foreign", "said"),
    [
        *(
            (kind, "/proc/self/fdinfo/rig.yaml", None, "rig.yaml: cannot be written")  # not even by root
            for kind in ("board", "scene", "points")
        ),
        ("board", "rig.yaml", "rig.html", "rig.html: is in the way and was not written by fusecam"),
        ("board", "rig.html", None, "rig.html: is also the output 'rig.html'; choose another place with --report"),
    ],
)
def test_places_are_checked_before_the_work(tmp_path, monkeypatch, capfd, kind, out, foreign, said):
    monkeypatch.chdir(tmp_path)
    if foreign is not None:
        Path(foreign).write_text("<!DOCTYPE html><title>Diary</title>")
    order = ["calibrate", kind, "--ir", "nowhere.mp4", "--vis", "neither.mp4", "--out", out]
    order += ["--board", "8x6", "--square", "25mm"] if kind == "board" else []
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and said in answer.said
    assert [path.name for path in tmp_path.iterdir()] == ([] if foreign is None else [foreign])


def test_preview_shows_the_board_and_the_covered_area():
    picture = np.full((60, 80, 3), 90, np.uint8)
    views = Views(make_board("8x6", "25mm", "checkerboard", None, "5X5_100"), stills=False, most=5)
    assert np.array_equal(views.draw(picture), picture)
    found, covered = (Found(np.array([[x, 30.0]]), np.array([0])) for x in (20.0, 60.0))
    views.found = found
    views.shots.append(CapturedView(View("1", covered, None), ViewImages(None, None)))
    image = views.draw(picture)
    assert image[30, 20].tolist() == [0, 220, 0] and image[30, 60].tolist() == [255, 210, 0]
    assert (picture == 90).all()


def test_folders_of_views_give_a_rig_and_an_html_report(tmp_path, monkeypatch, capfd):
    rig = random_rig(0, 10, ((640, 480), (384, 288)))
    for k, images in enumerate(pictures(rig, 0)):
        for camera, image in zip(("vis", "ir"), images, strict=True):
            (tmp_path / camera).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / camera / f"{k}.png"), image)
    order = ("calibrate", "board", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--board", "8x6")
    order += ("--square", "30mm", "--out", tmp_path / "rig.yaml")
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    assert fusecam(*order, monkeypatch=monkeypatch, capfd=capfd).code == 0  # replaces its own
    found = load_rig(tmp_path / "rig.yaml")
    assert np.linalg.norm(np.array(found.translation) - rig.translation) < 0.05 * np.linalg.norm(rig.translation)
    page = (tmp_path / "rig.html").read_text()
    assert page.count("<td>used") >= 8 and page.count("<img") >= 10


def test_size_that_was_miscounted_is_told_at_once_and_rightly(tmp_path, monkeypatch, capfd):
    """By the largest that is seen: of a board that is partly hidden fewer corners are found."""
    rig = random_rig(0, 10, ((640, 480), (384, 288)))
    covered = False
    for k, images in enumerate(pictures(rig, 0)[:3]):
        for camera, image in zip(("vis", "ir"), images, strict=True):
            found = Finder(rig.board).find(image)
            if found is not None and not covered:
                image[:, round(float(np.median(found.points[:, 0]))) :] = 90
                covered = suggest_size(image) not in (None, (8, 6))
            (tmp_path / camera).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / camera / f"{k}.png"), image)
    assert covered
    order = ("calibrate", "board", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--board", "9x7")
    answer = fusecam(*order, "--square", "30mm", "--out", tmp_path / "rig.yaml", monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1
    assert "no 9x7 board yet, but one of 8x6 inner corners: if it is yours, --board 8x6" in answer.said
    assert "no 9x7 board was found, but one of 8x6 inner corners: give --board 8x6" in answer.said
    assert not (tmp_path / "rig.yaml").exists()
