"""`fusecam calibrate scene` as a person runs it: a rig that `--rig` takes, or a reason and no file."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.calib.rig import load_rig, save_rig

from ..calib.scenes import Grey, moved, random_homography
from ..calib.test_scene import frames, heated
from .command import QUICK, fusecam

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"
SIZE, INFRARED = (320, 240), (160, 128)


def small(name: str) -> list[Grey]:
    return [np.asarray(cv2.resize(f, SIZE, interpolation=cv2.INTER_AREA), np.uint8) for f in frames(name, 8)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Folders vis, ir (the same moments by another sensor) and other; and the true homography."""
    folder = tmp_path_factory.mktemp("pairs")
    truth = random_homography(np.random.default_rng(4), SIZE, INFRARED)
    street = small("clear_night_clear.mp4")
    pictures = {
        "vis": street,
        "ir": moved(heated(street), truth, INFRARED, cv2.BORDER_CONSTANT),
        "other": moved(heated(small("fog_day_clear.mp4")), truth, INFRARED, cv2.BORDER_CONSTANT),
    }
    for name, images in pictures.items():
        (folder / name).mkdir()
        for k, image in enumerate(images):
            assert cv2.imwrite(str(folder / name / f"{k:02}.png"), image)
    return folder, truth


def test_scene_calibration_writes_a_rig_that_a_run_accepts(
    folders: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, truth = folders
    rig, sources = tmp_path / "rig.yaml", ("--ir", folder / "ir", "--vis", folder / "vis")
    answer = fusecam("calibrate", "scene", *sources, "--out", rig, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    assert "8 of 8 pairs agree" in answer.said
    found = load_rig(rig)
    assert found.scene is not None and found.scene.pairs == 8
    assert found.edges is not None and np.hypot(*found.edges.shift_px) < 1
    assert found.time_offset_ms is None  # folders have no clock
    x, y = found.map()
    v, u = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    there = np.stack([u, v, np.ones_like(u)], axis=-1) @ truth.T
    there = there[..., :2] / there[..., 2:]
    inside = ((there > 1) & (there < np.array(INFRARED) - 2)).all(axis=-1)
    assert float(np.hypot(x - there[..., 0], y - there[..., 1])[inside].max()) < 1.5
    out, settings = tmp_path / "fused", tmp_path / "run.yaml"
    settings.write_text("sources: {ir: {polarity: white-hot}}\n")  # a drawn sensor, not one that polarity is told by
    run = fusecam(
        *sources, "--config", settings, "--rig", rig, *QUICK, "--out", out,
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert run.code == 0, run.said
    assert len(list(out.glob("*.png"))) == 8


def test_other_scenes_are_refused_and_nothing_is_written(
    folders: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, _ = folders
    rig = tmp_path / "rig.yaml"
    sources = ("--ir", folder / "other", "--vis", folder / "vis")
    answer = fusecam("calibrate", "scene", *sources, "--out", rig, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code != 0
    assert "different scenes" in answer.said and "Traceback" not in answer.said
    assert not list(tmp_path.iterdir())


def test_sample_videos_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Driving by night, streams 118 ms apart: near the true rig at the distance where most of the street is."""
    rig = tmp_path / "rig.yaml"
    sources = ("--ir", SAMPLES / "clear_night_ir.mp4", "--vis", SAMPLES / "clear_night_vis.mp4")
    answer = fusecam(
        "calibrate", "scene", *sources, "--pairs", 12, "--out", rig, monkeypatch=monkeypatch, capfd=capfd
    )  # fmt: skip
    assert answer.code == 0, answer.said
    found, true = load_rig(rig), load_rig(SAMPLES / "rig.yaml")
    said = re.search(r"time offset of these recordings: ([+-][\d.]+) ms", answer.said)
    assert said and float(said[1]) == pytest.approx(-118, abs=25)
    assert found.time_offset_ms is None  # other recordings have another
    (x, y), (tx, ty) = found.map(), true.map()
    inside = (tx > 0) & (tx < 383) & (ty > 0) & (ty < 287)
    assert float(np.median(np.hypot(x - tx, y - ty)[inside])) < 4  # infrared pixels; the lenses bend, a homography not


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--out": "."}, "a file cannot be created there"),
        ({"--ir": "nowhere"}, "no such file or folder"),
        ({"--ir": "VIS"}, "two different sources"),
    ],
)
def test_unusable_inputs_are_refused(
    folders: tuple[Path, np.ndarray], tmp_path: Path, changes: dict[str, str], says: str,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folder, _ = folders
    given = {"--ir": str(folder / "ir"), "--vis": str(folder / "vis"), "--out": str(tmp_path / "rig.yaml")} | changes
    given["--ir"] = given["--ir"].replace("VIS", str(folder / "vis"))
    answer = fusecam(
        "calibrate", "scene", *(a for pair in given.items() for a in pair), monkeypatch=monkeypatch, capfd=capfd
    )  # fmt: skip
    assert answer.code != 0 and says in answer.said and "Traceback" not in answer.said
    assert not (tmp_path / "rig.yaml").exists()


def test_reference_is_added_to_a_given_rig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, rig = tmp_path / "plain.yaml", tmp_path / "rig.yaml"
    save_rig(load_rig(SAMPLES / "rig.yaml").model_copy(update={"edges": None}), plain)
    sources = ("--ir", SAMPLES / "clear_night_ir.mp4", "--vis", SAMPLES / "clear_night_vis.mp4", "--rig", plain)
    answer = fusecam("calibrate", "reference", *sources, "--out", rig, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    found = load_rig(rig)
    assert found.edges is not None and found.edges.pairs >= 20
    assert np.hypot(*found.edges.shift_px) < 3  # the scene is not at 16 m everywhere
    assert found.model_copy(update={"edges": None}) == load_rig(plain)
    assert f"rig: {rig}" in answer.said.replace("\n", "")


def test_reference_without_edges_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.yaml"
    rig.write_text((SAMPLES / "rig.yaml").read_text())
    for camera, size in (("vis", (480, 640, 3)), ("ir", (288, 384))):
        (tmp_path / camera).mkdir()
        for k in range(4):
            assert cv2.imwrite(str(tmp_path / camera / f"{k}.png"), np.full(size, 40 * k, np.uint8))
    sources = ("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--rig", rig)
    answer = fusecam("calibrate", "reference", *sources, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1, answer.said
    assert "edges of both cameras agree in fewer than 3 of 4 pairs" in answer.said and "Traceback" not in answer.said
    assert rig.read_text() == (SAMPLES / "rig.yaml").read_text()


def test_board_views_of_other_sizes_are_named(tmp_path, monkeypatch, capfd):
    board = np.kron(np.indices((7, 9)).sum(0) % 2, np.ones((24, 24))).astype(np.uint8) * 255
    view = np.full((240, 320), 128, np.uint8)
    view[40 : 40 + 168, 50 : 50 + 216] = board
    for k, scale in enumerate((1, 1, 0.5)):
        for camera in ("ir", "vis"):
            (tmp_path / camera).mkdir(exist_ok=True)
            image = cv2.resize(view, None, fx=scale, fy=scale) if camera == "ir" else view
            cv2.imwrite(str(tmp_path / camera / f"{k}.png"), image)
    cameras = "--ir", tmp_path / "ir", "--vis", tmp_path / "vis"
    order = "calibrate", "board", *cameras, "--board", "8x6", "--square", "25mm", "--out", tmp_path / "rig.yaml"
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and not (tmp_path / "rig.yaml").exists()
    assert "2: visible 320x240, infrared 160x120, but other views are 320x240 and 320x240" in answer.said
