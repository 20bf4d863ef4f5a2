"""Visibility, white and dark colour on drawn scenes whose right figures are known."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fusecam.train.errors import TrainError
from fusecam.train.evaluation.scenes import find_scenes
from fusecam.train.metrics import contrasts, dark_chroma, kept, lab, white_lost

from .test_evaluation_command import run

BOX = (40.0, 30.0, 60.0, 70.0)


def drawn(background: int, inside: int, lower: int | None = None) -> np.ndarray:
    """A person-sized box on an even background; its lower half may differ."""
    image = np.full((100, 120), background, np.uint8)
    image[30:70, 40:60] = inside
    image[50:70, 40:60] = inside if lower is None else lower
    return image


def grey(image: np.ndarray) -> np.ndarray:
    return np.dstack([image] * 3)


def contrast(image: np.ndarray) -> float:
    (found,) = contrasts(lab(image if image.ndim == 3 else grey(image)), [BOX])
    return found


def kept_by(fused: np.ndarray, visible: np.ndarray, infrared: np.ndarray) -> float:
    return kept(contrast(fused), [contrast(visible), contrast(infrared)])


def test_dark_clothes_before_white_are_lost_by_maximum_and_kept_by_colour() -> None:
    visible, infrared = drawn(250, 60), drawn(40, 250)  # dark clothes before the sky, warm
    assert kept_by(np.maximum(visible, infrared), visible, infrared) < 0.05
    amber = grey(np.maximum(visible, infrared))
    amber[30:70, 40:60] = (255, 170, 60)
    assert kept_by(amber, visible, infrared) > 0.7


def test_people_in_the_dark_are_lost_by_the_visible_frame_and_kept_by_maximum() -> None:
    visible, infrared = drawn(20, 20), drawn(30, 200)
    assert kept_by(visible, visible, infrared) == pytest.approx(0, abs=1e-6)
    assert kept_by(np.maximum(visible, infrared), visible, infrared) == pytest.approx(1)


def test_contrast_of_one_camera_is_enough() -> None:
    visible, infrared = drawn(120, 120), drawn(60, 180)
    assert kept_by(infrared, visible, infrared) == 1
    average = ((visible.astype(int) + infrared) // 2).astype(np.uint8)
    assert 0.3 < kept_by(average, visible, infrared) < 0.7


def test_better_visible_half_of_an_object_counts() -> None:
    assert contrast(drawn(120, 180, lower=60)) > contrast(drawn(120, 125)) + 20


def test_other_objects_are_excluded_from_the_surroundings() -> None:
    image = lab(grey(drawn(120, 180)))
    beside = (60.0, 30.0, 80.0, 70.0)
    alone, both = contrasts(image, [BOX])[0], contrasts(image, [BOX, beside])[0]
    assert alone == pytest.approx(both)
    assert np.isnan(contrasts(image, [(10, 10, 12, 30)])[0])
    assert np.isnan(contrasts(image, [(0, 0, 120, 100)])[0])
    assert np.isnan(kept(3, [2, 4]))


def test_white_lost_counts_darkened_white_pixels() -> None:
    clear = grey(np.full((40, 40), 100, np.uint8))
    clear[:20] = 250
    image = clear.copy()
    image[:5] = 160
    image[5:10] = 200
    assert white_lost(clear, image) == pytest.approx(0.25)
    assert white_lost(clear, clear) == 0
    assert np.isnan(white_lost(grey(np.full((40, 40), 100, np.uint8)), clear))


def test_dark_chroma_measures_dark_pixels_only() -> None:
    source = grey(np.full((40, 40), 200, np.uint8))
    source[:20] = (20, 24, 20)
    image = source.copy()
    image[:20] = (30, 60, 30)
    image[20:] = (255, 0, 0)
    everywhere = np.ones((40, 40), bool)
    assert dark_chroma(source, source, everywhere) == pytest.approx(1)
    assert dark_chroma(source, image, everywhere) > 3
    assert np.isnan(dark_chroma(source, image, ~everywhere))


@pytest.fixture
def labelled(tmp_path):
    """Four scenes with one person each, whom `lost` hides in the second and the fourth."""
    for number in range(4):
        visible, infrared = grey(drawn(90, 60)), drawn(40, 220)
        made = grey(drawn(90, 92 if number % 2 else 250))
        for folder, image in (("vis", visible), ("ir", infrared), ("lost", made)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{number}.txt").write_text(f"0 {50 / 120} 0.5 {20 / 120} 0.4\n")
    return tmp_path


def test_command_reports_visibility_and_shows_lost_objects(labelled) -> None:
    sources = ["--ir", labelled / "ir", "--vis", labelled / "vis", "--labels", labelled / "labels"]
    result = run(labelled, *sources, "--fused", labelled / "lost", "--out", labelled / "out")
    assert result.exit_code == 0, result.output
    assert "people (4)" in result.output and "50.0 %" in result.output
    summary = json.loads((labelled / "out/summary.json").read_text())
    assert summary["visibility"]["people"]["lost"]["lost"] == 0.5
    assert summary["visibility"]["people"]["infrared only"] == {"objects": 4, "median": 1, "lost": 0}
    lines = list(csv.DictReader((labelled / "out/visibility.csv").open()))
    assert [(line["image"], float(line["lost"]) < 0.7) for line in lines] == [
        ("0", False), ("1", True), ("2", False), ("3", True),
    ]  # fmt: skip
    assert np.asarray(Image.open(labelled / "out/least_visible.png")).std() > 10


def test_select_and_report_halves_are_disjoint(labelled) -> None:
    sources = ["--ir", labelled / "ir", "--vis", labelled / "vis", "--labels", labelled / "labels"]
    for half, share in (("select", "0.0 %"), ("report", "100.0 %")):
        result = run(labelled, *sources, "--fused", labelled / "lost", "--half", half)
        assert result.exit_code == 0, result.output
        assert "people (2)" in result.output and share in result.output
    names = {
        half: [scene.name for scene in find_scenes(labelled / "ir", labelled / "vis", half=half)]
        for half in ("select", "report")
    }
    assert names == {"select": ["0", "2"], "report": ["1", "3"]}
    result = run(labelled, *sources, "--fused", labelled / "lost", "--half", "best")
    assert result.exit_code == 1 and "--half best: give select or report" in result.output
    for number in range(1, 4):
        (labelled / f"ir/{number}.png").unlink()
    with pytest.raises(TrainError, match="only scene is not in the half 'report'"):
        find_scenes(labelled / "ir", labelled / "vis", half="report")
