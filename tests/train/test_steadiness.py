"""Steadiness of a fused video, on drawn ones."""

import csv
import re

import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from fusecam.train.evaluation.cli import evaluate
from fusecam.train.metrics.steadiness import Steadiness

from ..e2e.command import QUICK, fusecam
from .pictures import picture

FRAMES = 25


def street(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of a still scene with noise, through which a box of another texture in every frame wanders."""
    noise = np.random.default_rng(seed)
    infrared, visible = picture(1, 1)[:96, :128], picture(2)[:96, :128]
    frames = []
    for index in range(FRAMES):
        seen = (0.6 * visible + 40 + noise.normal(0, 1, visible.shape)).astype(np.uint8)
        warm = (0.5 * infrared + noise.normal(0, 1, infrared.shape) + 5).clip(0, 255).astype(np.uint8)
        seen[60:90, 4 * index : 4 * index + 20] = np.repeat(noise.integers(0, 256, (30, 5, 3)), 4, axis=1)
        frames.append((seen, warm))
    return frames


def scores(change) -> dict[str, float]:
    measured = Steadiness()
    for index, (visible, infrared) in enumerate(street()):
        fused = (visible.astype(float) + change(index, visible)).clip(0, 255).astype(np.uint8)
        measured.add(visible, infrared, {"fused": fused})
    assert 0.5 < measured.still < 1
    return measured.scores()["fused"]


def pump(index: int, visible: np.ndarray) -> float:
    return 8 * np.sin(index / 4)


def flicker(index: int, visible: np.ndarray) -> float:
    return 3 * (index % 2)


def blush(index: int, visible: np.ndarray) -> np.ndarray:
    """Colour that pumps, at equal luma."""
    return 8 * np.sin(index / 4) * np.array([1, -0.387, -0.63])


def test_steady_sequence_scores_like_its_cameras() -> None:
    steady = scores(lambda index, visible: 20)
    assert steady["flicker ratio"] == pytest.approx(1, abs=0.05)
    assert steady["pumping"] < 0.1 and steady["pumping 99 %"] < 1


@pytest.mark.parametrize("change", [pump, blush])
def test_pumping_sequence_scores_worse_than_a_steady_one(change) -> None:
    steady, pumping = scores(lambda index, visible: 0), scores(change)
    assert pumping["pumping"] > 3 > 10 * steady["pumping"]
    assert pumping["flicker"] > 1.2 * steady["flicker"]


def test_flicker_is_measured_between_consecutive_frames() -> None:
    steady, flickering = scores(lambda index, visible: 0), scores(flicker)
    assert flickering["flicker"] > steady["flicker"] + 1


def test_moving_areas_are_excluded() -> None:
    measured = Steadiness()
    for index, (visible, infrared) in enumerate(street()):
        fused = visible.copy()
        fused[60:90, 4 * index : 4 * index + 20] = 250 if index % 2 else 90  # of the box alone
        measured.add(visible, infrared, {"fused": fused})
    found = measured.scores()
    assert found["fused"]["flicker"] == pytest.approx(found["visible only"]["flicker"], rel=0.05)
    assert found["fused"]["pumping"] < 0.1


def test_video_without_static_areas_has_no_figures() -> None:
    measured, noise = Steadiness(), np.random.default_rng(0)
    for _ in range(3):
        frame = np.repeat(np.repeat(noise.integers(0, 256, (12, 16, 3)), 8, 0), 8, 1).astype(np.uint8)
        measured.add(frame, frame[..., 0], {"fused": frame})
    assert measured.still < 0.1 and np.isnan(measured.scores()["fused"]["pumping"])


@pytest.fixture
def sequences(tmp_path):
    for index, (visible, infrared) in enumerate(street()):
        fused = (visible.astype(float) + pump(index, visible)).clip(0, 255).astype(np.uint8)
        for folder, image in (("vis", visible), ("ir", infrared), ("pumping", fused), ("steady", visible)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{index:03d}.png")
    return tmp_path


def run(*arguments):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "120"})


def test_command_distinguishes_steady_from_pumping(sequences, tmp_path) -> None:
    fused = [text for name in ("steady", "pumping") for text in ("--fused", f"{name}={sequences / name}")]
    sources = ["--ir", sequences / "ir", "--vis", sequences / "vis"]
    result = run("--video", *sources, *fused, "--engine", "average:torch", "--out", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert "Steadiness where nothing moves" in result.output and "average:torch" in result.output
    with (tmp_path / "report/steadiness.csv").open() as file:
        rows = {line["row"]: float(line["pumping"]) for line in csv.DictReader(file)}
    assert rows["pumping"] > 3 > 10 * rows["steady"]


def test_images_that_form_no_video_are_refused(sequences) -> None:
    sources = ["--ir", sequences / "ir", "--vis", sequences / "vis"]
    told = {
        ("--fused", sequences / "steady", "--labels", sequences): "--labels is for images",
        (): "nothing to evaluate",
        ("--fused", sequences / "absent"): "absent",
        ("--fused", sequences / "steady", "--detect"): "--video and --detect",
    }
    for arguments, text in told.items():
        result = run("--video", *sources, *arguments)
        assert result.exit_code == 1 and text in result.output and isinstance(result.exception, SystemExit)
    (sequences / "steady/024.png").unlink()
    result = run("--video", *sources, "--fused", sequences / "steady")
    assert result.exit_code == 1 and "steady: ends before the others" in " ".join(result.output.split())
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(sequences / "steady/000.png")
    result = run("--video", *sources, "--fused", sequences / "steady")
    assert result.exit_code == 1 and "60x50 beside 128x96; resize it; infrared" in " ".join(result.output.split())


def test_infrared_of_another_size_is_registered_by_the_command_in_the_error(
    sequences, tmp_path, monkeypatch, capfd
) -> None:
    for path in (sequences / "ir").iterdir():
        Image.open(path).resize((64, 48)).save(path)
    sources = ["--ir", sequences / "ir", "--vis", sequences / "vis"]
    result = run("--video", *sources, "--engine", "average:torch")
    assert result.exit_code == 1 and "64x48 beside 128x96" in " ".join(result.output.split())
    command = re.search(r"fusecam (--ir IR --vis VIS .*) NEW", " ".join(result.output.split()))
    rig = {"visible": {"width": 128, "height": 96}, "infrared": {"width": 64, "height": 48}}
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(rig | {"homography": [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]]}))
    given = {"IR": sequences / "ir", "VIS": sequences / "vis", "RIG": tmp_path / "rig.yaml"}
    arguments = [str(given.get(word, word)) for word in command[1].split()]
    (tmp_path / "run.yaml").write_text("sources: {ir: {polarity: white-hot}}")
    arguments += [tmp_path / "new", "--config", tmp_path / "run.yaml", *QUICK]
    answer = fusecam(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    result = run("--video", "--ir", tmp_path / "new", "--vis", sequences / "vis", "--engine", "average:torch")
    assert result.exit_code == 0, result.output


def test_baseline_and_engine_of_one_name_are_two_rows(sequences, tmp_path) -> None:
    sources = ["--ir", sequences / "ir", "--vis", sequences / "vis"]
    result = run("--video", *sources, "--engine", "average", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    with (tmp_path / "steadiness.csv").open() as file:
        rows = [line["row"] for line in csv.DictReader(file)]
    assert {"average", "average engine"} <= set(rows)
    result = run("--video", *sources, "--fused", f"maximum={sequences / 'steady'}")
    assert result.exit_code == 1 and "--fused maximum: there is another row" in result.output
    (tmp_path / "steadiness.csv").write_text("mine")
    result = run("--video", *sources, "--engine", "average", "--out", tmp_path)
    assert result.exit_code == 1 and (tmp_path / "steadiness.csv").read_text() == "mine"
