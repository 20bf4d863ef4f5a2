"""Somebody's own recordings, or a public data set as published: labels found and read, classes learned, a report."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import load_file

from fusecam.engines.detection.weights import DETECTOR_WEIGHTS, detector_names, load_detector
from fusecam.pipeline import cli
from fusecam.train.detector.boxes import USUAL, Annotations, read_boxes
from fusecam.train.detector.fit import fit_detector
from fusecam.train.detector.network import start_network
from fusecam.train.detector.recipe import DetectorRecipe
from fusecam.train.detector.recordings import lay_out, read_recordings
from fusecam.train.errors import TrainError
from fusecam.train.recipe import read_recipe

VOC = """<annotation><size><width>64</width><height>48</height></size>
<object><name>People</name><bndbox><xmin>8</xmin><ymin>12</ymin><xmax>24</xmax><ymax>36</ymax></bndbox></object>
<object><name>Lamp</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>"""
PERSON = [0, 0.25, 0.5, 0.25, 0.5]
LAYOUTS = {  # visible, infrared and label file of one pair, and what stands in it; NAME is the pair's
    "LLVIP": ("visible/train/NAME.jpg", "infrared/train/NAME.jpg", "Annotations/NAME.xml", VOC),
    "M3FD": ("Vis/NAME.png", "Ir/NAME.png", "Annotation/NAME.xml", VOC),
    "FLIR-aligned": ("JPEGImages/FLIR_NAME_RGB.jpg", "JPEGImages/FLIR_NAME_PreviewData.jpeg",
                     "Annotations/FLIR_NAME_PreviewData.xml", VOC),
    "KAIST": ("set00/V000/visible/INAME.jpg", "set00/V000/lwir/INAME.jpg", "annotations/set00/V000/INAME.txt",
              "% bbGt version=3\nperson 8 12 16 24 0 0 0 0 0 0 0\npeople? 1 1 2 2 0 0 0 0 0 0 0\n"),
    "YOLO": ("images/vis/NAME.jpg", "images/ir/NAME.jpg", "labels/NAME.txt", "0 .25 .5 .25 .5\n7 .5 .5 .1 .1\n"),
}  # fmt: skip


def write(root: Path, layout: str, names: list[str], size: tuple[int, int] = (64, 48), labels: bool = True) -> None:
    random = np.random.default_rng(len(names))
    for name in names:
        *images, label, text = (part.replace("NAME", name) for part in LAYOUTS[layout])
        for number, image in enumerate(images):
            path = root / image
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(60, 90, (size[1], size[0], 3), np.uint8)
            pixels[size[1] // 4 : 3 * size[1] // 4, size[0] // 8 : 3 * size[0] // 8] = 30 + 200 * number
            cv2.imwrite(str(path), pixels)
        if labels:
            (root / label).parent.mkdir(parents=True, exist_ok=True)
            (root / label).write_text(text)


def settings(root: Path, text: str = "") -> Path:
    file = root / "my.yaml"
    file.write_text(text or "path: .\n")
    return file


@pytest.mark.parametrize("layout", LAYOUTS)
def test_public_layouts_are_read_as_published(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, layout, [f"{number:05d}" for number in range(16)])
    keys = lay_out(read_recordings(settings(tmp_path)), tmp_path / "out" / "pairs", Console())
    labels = sorted((tmp_path / "out" / "pairs" / "labels").glob("*.txt"))
    assert len(labels) == 16
    for file in labels:
        np.testing.assert_allclose(read_boxes(file), [PERSON], atol=1e-4)
    assert keys["names"] == ["person", "bicycle", "car"]
    held = Path(keys["data"][0]["validation"]).read_text().split()
    assert held == [labels[14].stem, labels[15].stem]  # the last eighth, since neighbours in time look alike
    assert "left out" in capsys.readouterr().out


NAMES = [f"{number:05d}" for number in range(12)]


def laid_out(root: Path, text: str = "") -> tuple[list[str], list[str]]:
    """Names that train and names that validate."""
    keys = lay_out(read_recordings(settings(root, text)), root / "out" / "pairs", Console(width=300))
    used = {file.stem.split("_")[1].strip("I") for file in (root / "out" / "pairs" / "labels").glob("*.txt")}
    held = {name.split("_")[1].strip("I") for name in Path(keys["data"][0]["validation"]).read_text().split()}
    return sorted(used - held), sorted(held)


@pytest.mark.parametrize(
    ("layout", "here", "there", "trains", "validates"),
    [
        ("LLVIP", "train", "test", NAMES[3:], NAMES[11:]),
        ("LLVIP", "train", "Val", NAMES[3:], NAMES[:3]),
        ("LLVIP", "train", "night", NAMES, NAMES[11:]),
        ("KAIST", "set00", "set06", NAMES[3:], NAMES[11:]),
        ("KAIST", "set00", "set05", NAMES, NAMES[2:3]),  # the last by path
    ],
)
def test_published_parts_are_kept_apart(
    layout: str, here: str, there: str, trains: list[str], validates: list[str], tmp_path: Path
) -> None:
    """Scores on a published test set are worth nothing once it was trained on."""
    write(tmp_path, layout, NAMES)
    for name in NAMES[:3]:
        for image in LAYOUTS[layout][:3]:
            path, other = (tmp_path / image.replace("NAME", name).replace(here, part) for part in (here, there))
            other.parent.mkdir(parents=True, exist_ok=True)
            path.rename(other)
    trained, held = laid_out(tmp_path)
    assert held == validates and trained == sorted({*trains} - {*validates})


def test_published_list_validates_and_a_lonely_test_folder_trains(tmp_path: Path) -> None:
    flir, tests = tmp_path / "flir", tmp_path / "tests"
    write(flir, "FLIR-aligned", NAMES)
    (flir / "align_validation.txt").write_text("".join(f"FLIR_{name}_PreviewData\n" for name in NAMES[1:4]))
    keys = lay_out(read_recordings(settings(flir)), flir / "out" / "pairs", Console())
    held = Path(keys["data"][0]["validation"]).read_text().split()
    assert held == [f"{number:06d}_FLIR_{NAMES[number]}_RGB" for number in (1, 2, 3)]
    write(tests / "test", "YOLO", NAMES)
    assert laid_out(tests) == (NAMES[:11], NAMES[11:])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 160 120 32 48", "13 boxes left out, outside their image or empty, first in "),  # pixels
        ("0 .5 .5 -.1 .1", "13 boxes left out, outside their image or empty, first in "),
        ("0 nan .5 .1 .1", "13 boxes left out, outside their image or empty, first in "),
        ("2 .5 .5 .1 .1", "not one box of class 'bicycle' to train on, so it is unlearned"),
    ],
)
def test_mistaken_labels_are_told(line: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "YOLO", NAMES)
    for name in NAMES:
        (tmp_path / "labels" / f"{name}.txt").write_text("0 .5 .5 .1 .1\n" + f"{line}\n" * (1 + (name == NAMES[0])))
    assert laid_out(tmp_path) == (NAMES[:11], NAMES[11:])
    said = capsys.readouterr().out
    assert told in said
    cars = "car 12" if line.startswith("2") else "car 0"
    assert f"training pairs: 11; boxes: person 11, bicycle 0, {cars}" in said
    assert "validation pairs: 1; boxes: person 1, bicycle 0, car" in said


def test_validation_without_boxes_is_refused_before_the_training(tmp_path: Path) -> None:
    write(tmp_path, "YOLO", NAMES)
    (tmp_path / "labels" / f"{NAMES[11]}.txt").write_text("")
    with pytest.raises(TrainError, match="not one box for the validation pairs; choose others with train and val"):
        laid_out(tmp_path)


def test_polygons_become_boxes_and_classes_may_be_numbered(tmp_path: Path) -> None:
    write(tmp_path, "YOLO", NAMES)
    polygon, scored = "1 .1 .2 .3 .2 .3 .6 .2 .7 .1 .6", "0 .5 .5 .2 .2 .9"
    for name in NAMES:
        (tmp_path / "labels" / f"{name}.txt").write_text(f"{polygon}\n{scored}\n")
    laid_out(tmp_path, "names: {1: deer, 0: person}\n")
    boxes = read_boxes(tmp_path / "out" / "pairs" / "labels" / f"000000_{NAMES[0]}.txt")
    np.testing.assert_allclose(boxes, [[1, 0.2, 0.45, 0.2, 0.5], [0, 0.5, 0.5, 0.2, 0.2]], atol=1e-6)
    with pytest.raises(TrainError, match="names"):
        read_recordings(settings(tmp_path, "names: {1: deer, 2: person}\n"))


def test_folder_names_distinguish_files_of_equal_names(tmp_path: Path) -> None:
    for part, x in (("set00", 8), ("set01", 40)):
        (tmp_path / "annotations" / part / "V000").mkdir(parents=True)
        (tmp_path / "annotations" / part / "V000" / "I00000.txt").write_text(
            f"% bbGt version=3\nperson {x} 12 16 24 0\n"
        )
    found = Annotations(tmp_path / "annotations", USUAL)
    for part, x in (("set00", 0.25), ("set01", 0.75)):
        image = tmp_path / part / "V000" / "visible" / "I00000.jpg"
        np.testing.assert_allclose(found.of(image, image, 64, 48), [[0, x, 0.5, 0.25, 0.5]], atol=1e-6)
    elsewhere = tmp_path / "other" / "I00000.jpg"
    with pytest.raises(TrainError, match="two label files fit"):
        found.of(elsewhere, elsewhere, 64, 48)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "0 .5 .5 .1", "not a label file"),
        ("a.txt", "person .5 .5 .1 .1", "not a label file"),
        ("a.xml", "<annotation><object>", "not a label file"),
        ("a.xml", "<annotation><object><name>person</name></object></annotation>", "not a label file"),
    ],
)
def test_unreadable_labels_are_named(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainError, match=rf"{name}: {told}"):
        Annotations(tmp_path, USUAL).of(Path("a.png"), Path("b.png"), 64, 48)


def test_unlabelled_pairs_are_counted_and_no_labels_at_all_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "YOLO", [f"{number:03d}" for number in range(4)], labels=False)
    write(tmp_path, "YOLO", [f"{number:03d}" for number in range(4, 16)])
    lay_out(read_recordings(settings(tmp_path)), tmp_path / "out" / "pairs", Console(width=200))
    assert "4 of 16 pairs have no label file" in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "000.txt").write_text("5 .5 .5 .1 .1")
    with pytest.raises(TrainError, match="not one box"):
        lay_out(
            read_recordings(settings(tmp_path, "names: {deer: [deer]}\nlabels: none")),
            tmp_path / "out2" / "pairs",
            Console(),
        )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("[]", "names: invalid class names"),
        ("{}", "names: invalid class names"),
        ("['']", "names: invalid class names"),
        ("[deer, deer]", "names: invalid class names"),
        ("{deer: []}", "names: give deer its names in the label files, as in {deer: [deer]}"),
        ("{deer: [' ']}", "names: give deer its names"),
        ("{deer: [Animal], dog: [animal]}", "names: label files' animal belongs to two classes"),
    ],
)
def test_class_map_that_labels_nothing_is_refused_before_anything_is_read(
    tmp_path: Path, names: str, told: str
) -> None:
    """Class names that weights cannot have too: they would be refused after the training."""
    with pytest.raises(TrainError) as caught:
        read_recordings(settings(tmp_path, f"names: {names}\n"))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_minutes_of_a_recordings_file_overrule_the_recipe(tmp_path: Path) -> None:
    write(tmp_path, "YOLO", [f"{number:03d}" for number in range(8)])
    recipe = Path(__file__).parents[2] / "train" / "recipes" / "detector_own.yaml"
    for text, minutes in (("path: .\n", 40), ("path: .\nminutes: 2\n", 2), ("path: .\nminutes: 90\n", 90)):
        keys = lay_out(read_recordings(settings(tmp_path, text)), tmp_path / "out" / "pairs", Console())
        assert read_recipe(recipe, DetectorRecipe, keys).minutes == minutes
    with pytest.raises(TrainError, match="minutes"):
        read_recordings(settings(tmp_path, "minutes: 0\n"))


def test_infrared_is_registered_by_the_rig(tmp_path: Path) -> None:
    write(tmp_path, "YOLO", [f"{number:03d}" for number in range(8)], size=(640, 480))
    rig = Path(__file__).parents[2] / "samples" / "rig.yaml"
    for path in (tmp_path / "images" / "ir").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (384, 288)))
    lay_out(read_recordings(settings(tmp_path, f"rig: {rig}\n")), tmp_path / "out" / "pairs", Console())
    registered = cv2.imread(str(next((tmp_path / "out" / "pairs" / "ir").iterdir())), cv2.IMREAD_GRAYSCALE)
    assert registered.shape == (480, 640)
    assert registered[240, 160] > 150  # the bright thing, about where the visible camera sees it


def test_shared_classes_keep_their_trained_outputs() -> None:
    if not DETECTOR_WEIGHTS.exists():
        pytest.skip("no trained weights are installed")
    network = start_network("yolov5n.yaml", DETECTOR_WEIGHTS, names=["deer", "car", "person"])
    before, after = load_file(DETECTOR_WEIGHTS), network.state_dict()
    row = "model.24.cv3.0.2.weight"
    np.testing.assert_array_equal(after[row][[1, 2]], before[row][[2, 0]].float())
    shared = "model.3.conv.weight"
    np.testing.assert_array_equal(after[shared], before[shared].float())


@pytest.mark.slow
def test_folder_of_recordings_trains_weights_that_a_run_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "M3FD", [f"{number:05d}" for number in range(8)], size=(128, 96))
    quick = tmp_path / "quick.yaml"
    quick.write_text(
        "detector: {frozen: 3}\ndata: []\nengine: average\nsize: [64, 96]\nlast_size: [96, 128]\nbatch: 2\nsteps: 3\n"
        "steps_per_epoch: 3\nprecision: 32-true\n"
    )
    (tmp_path / "my.yaml").write_text("names: {walker: [People], lamp: [Lamp]}\n")

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["fusecam", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0)

    out = tmp_path / "run"
    assert run("train", quick, "--data", tmp_path / "my.yaml", "--out", out) == 0
    assert detector_names(out / "weights.safetensors") == {0: "walker", 1: "lamp"}
    assert load_detector(out / "weights.safetensors").names == {0: "walker", 1: "lamp"}
    assert "walker" in (out / "report.txt").read_text() and cv2.imread(str(out / "worst.png")) is not None
    files = "--ir", tmp_path / "Ir", "--vis", tmp_path / "Vis", "--out", tmp_path / "o.mp4", "--engine", "average"
    assert run(*files, "--detector", out / "weights.safetensors") == 0
    assert run(*files, "--detector", out / "weights.safetensors", "--classes", "car") == 1


def test_recipe_for_recordings_reports_missing_fields(tmp_path: Path) -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "train" / "recipes" / "detector_own.yaml", DetectorRecipe)
    with pytest.raises(TrainError, match="give a file of your recordings with --data FILE"):
        fit_detector(recipe, tmp_path, bar=False)


def test_recordings_file_is_refused_for_other_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fusecam", "train", "realtime", "--data", str(settings(tmp_path))])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert "trains a detector" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "told"), [(".", "a YAML file of your own pairs, with --data"), ("nothing.yaml", "no such file or")]
)
def test_folder_as_recordings_file_is_a_one_line_error(
    data: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "M3FD", ["00001"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSECAM_DATA", "")  # which the command sets
    monkeypatch.setattr(sys, "argv", ["fusecam", "train", "detector", "--data", data, "--out", "out"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "frames").exists()
