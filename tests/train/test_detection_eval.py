"""Average precision of cases small enough for a pencil, and one whole evaluation on files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from fusecam.engines import create_engine
from fusecam.engines.detection.weights import save_detector
from fusecam.train.detector.boxes import write_boxes
from fusecam.train.detector.network import start_network
from fusecam.train.errors import TrainError
from fusecam.train.evaluation.cli import evaluate
from fusecam.train.evaluation.detection.disturb import DISTURBANCES
from fusecam.train.evaluation.detection.metrics import (
    RESAMPLES,
    SEED,
    FrameDetections,
    SceneDetections,
    find_detected,
    match_detections,
    pixels,
    score_frames,
)
from fusecam.train.evaluation.detection.run import frames, run_detection, summarise
from fusecam.train.evaluation.scenes import Scene, read_sources
from fusecam.train.evaluation.settings import Settings

from ..schemas import check

pytestmark = pytest.mark.slow

APP = typer.Typer()
APP.callback()(lambda: None)
APP.command("eval")(evaluate)
PERSON, CAR = 0.0, 2.0
A, B = [10, 10, 30, 60], [100, 20, 140, 100]
ELSEWHERE = [200, 200, 240, 240]


def frame(found: list[list[float]], truth: list[list[float]]) -> FrameDetections:
    return FrameDetections("x", np.array(found, np.float32).reshape(-1, 6), np.array(truth, np.float32).reshape(-1, 5))


TWO_PEOPLE = [[PERSON, *A], [PERSON, *B]]


@pytest.mark.parametrize(
    ("found", "map50"),
    [
        ([[*A, 0.9, PERSON], [*B, 0.8, PERSON]], 1.0),
        # right, wrong, right: precision 1 up to half of the recall, then 2/3
        ([[*A, 0.9, PERSON], [*ELSEWHERE, 0.8, PERSON], [*B, 0.7, PERSON]], 0.5 + 0.5 * 2 / 3),
        ([[*A, 0.9, PERSON]], 0.5),
        ([[*A, 0.9, PERSON], [*A, 0.8, PERSON]], 0.5),  # the same person twice: one hit, one false
        ([[*A, 0.9, CAR], [*B, 0.8, CAR]], 0.0),
        ([], 0.0),
    ],
)
def test_average_precision_equals_a_hand_computed_value(found: list[list[float]], map50: float) -> None:
    figures = score_frames([frame(found, TWO_PEOPLE)]).figures
    assert figures["person"].map50 == pytest.approx(map50, abs=0.011)  # Ultralytics interpolates at 101 points
    assert figures["all"].map50 == figures["person"].map50
    assert figures["person"].labels == 2
    assert "car" not in figures  # no labels: not a class of these frames


def test_slightly_misplaced_box_counts_at_low_thresholds_only() -> None:
    x1, y1, x2, y2 = A
    off = [x1, y1, x2, y1 + 0.72 * (y2 - y1)]  # IoU 0.72: hits at 0.5, 0.55, 0.6, 0.65 and 0.7
    figures = score_frames([frame([[*off, 0.9, PERSON]], [[PERSON, *A]])]).figures["person"]
    assert figures.map50 == pytest.approx(1, abs=0.011)
    assert figures.map == pytest.approx(0.5, abs=0.011)


def test_boxes_are_ranked_by_score_over_all_frames() -> None:
    hit, stray = frame([[*A, 0.6, PERSON]], [[PERSON, *A]]), frame([[*ELSEWHERE, 0.9, PERSON]], [])
    assert score_frames([hit, stray]).figures["all"].map50 == pytest.approx(0.5, abs=0.011)  # the stray comes first
    worse_first = frame([[*ELSEWHERE, 0.2, PERSON], [*A, 0.9, PERSON]], [[PERSON, *A]])
    assert match_detections(worse_first)[:, 0].tolist() == [False, True]


def test_mean_average_precision_averages_classes() -> None:
    truth = [*TWO_PEOPLE, [CAR, *ELSEWHERE]]
    figures = score_frames([frame([[*A, 0.9, PERSON], [*B, 0.8, PERSON]], truth)]).figures
    assert (figures["person"].map50, figures["car"].map50) == (pytest.approx(1, abs=0.011), 0)
    assert figures["all"].map50 == pytest.approx(0.5, abs=0.011)


def test_detection_needs_class_overlap_and_score() -> None:
    judged = frame([[*A, 0.3, PERSON], [*B, 0.9, CAR]], TWO_PEOPLE)
    assert find_detected(judged, 0.25).tolist() == [True, False]
    assert find_detected(judged, 0.5).tolist() == [False, False]


def test_boxes_are_converted_to_pixels() -> None:
    rows = pixels(np.array([[2, 0.5, 0.25, 0.5, 0.5]], np.float32), 200, 100)
    np.testing.assert_allclose(rows, [[2, 50, 0, 150, 50]])


def test_rows_are_scored_by_condition_if_every_frame_is_present() -> None:
    scene = Scene("x", Path("i"), Path("v"), Path("v"), Path("v"))
    good, blind = frame([[*A, 0.9, PERSON], [*B, 0.8, PERSON]], TWO_PEOPLE), frame([], TWO_PEOPLE)
    results = summarise(
        [
            SceneDetections("day", scene, {"visible only": good, "fused": good, "clear method": good}),
            SceneDetections("hazy day", scene, {"visible only": blind, "fused": good}),
        ]
    )
    assert list(results) == ["all", "day", "hazy day"]
    assert list(results["all"]) == list(results["hazy day"]) == ["visible only", "fused"]
    assert "clear method" in results["day"]
    map50 = {row: result.figures["all"].map50 for row, result in results["all"].items()}
    assert map50 == {"visible only": pytest.approx(0.5, abs=0.011), "fused": pytest.approx(1, abs=0.011)}


def test_resamples_equal_ultralytics_on_repeated_scenes() -> None:
    random = np.random.default_rng(3)
    frames = []
    for number in range(6):
        truth = [[float(random.integers(0, 3)), x, 10, x + 20, 60] for x in range(0, 150, 30)]
        found = [[*box[1:], random.uniform(0.1, 1), box[0] if random.random() < 0.8 else 1.0] for box in truth]
        frames.append(FrameDetections(str(number), np.array(found, np.float32), np.array(truth, np.float32)))
    draws = score_frames(frames).draws
    counts = np.random.default_rng(SEED).multinomial(6, np.full(6, 1 / 6), RESAMPLES)
    for at in range(8):
        figures = score_frames([frame for frame, n in zip(frames, counts[at], strict=True) for _ in range(n)]).figures
        assert {name: draws[name][at] for name in figures} == {
            name: pytest.approx(each.map50, abs=1e-9) for name, each in figures.items()
        }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, clear and hazy, with boxes, and untrained weights."""
    folder = tmp_path_factory.mktemp("detect")
    random = np.random.default_rng(0)
    for kind in ("ir", "clear", "hazy", "labels"):
        (folder / kind).mkdir()
    for name in ("1D", "2N"):
        for kind, shape in (("ir", (96, 128)), ("clear", (96, 128, 3)), ("hazy", (96, 128, 3))):
            cv2.imwrite(str(folder / kind / f"{name}.png"), random.integers(0, 255, shape, np.uint8))
        write_boxes(folder / "labels" / f"{name}.txt", np.array([[0, 0.5, 0.5, 0.2, 0.4]], np.float32))
    save_detector(start_network("yolov5n.yaml", None), folder / "start.safetensors")
    return folder


def test_evaluation_writes_table_curves_and_csv(data: Path, tmp_path: Path) -> None:
    settings = Settings(
        data / "ir",
        data / "clear",
        data / "labels",
        hazy=data / "hazy",
        fused={"somebody-teacher": data / "clear"},
        hazy_fused={"somebody-teacher": data / "hazy"},
        detectors={"": data / "start.safetensors"},
        split="msrs",
        out=tmp_path,
    )
    console = Console(record=True, width=80)
    results = run_detection(settings, console, Console(stderr=True))
    assert list(results) == ["all", "day", "night", "hazy day", "hazy night"]
    rows = ["infrared only", "visible only", "average", "somebody-teacher"]
    assert list(results["all"]) == list(results["hazy night"]) == rows
    assert results["all"]["somebody-teacher"].figures["person"].labels == 4
    with (tmp_path / "detection.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["row"] for line in lines} == set(rows)
    same = {line["row"]: line["mAP50"] for line in lines if (line["condition"], line["class"]) == ("day", "all")}
    assert same["somebody-teacher"] == same["visible only"]  # the same frames
    written = json.loads((tmp_path / "detection.json").read_text())
    check("detection", written)
    assert (written["version"], written["resamples"]) == (1, 2000)
    assert [[str(each[key]) for key in ("row", "mAP50", "mAP50 low", "mAP50 high")] for each in written["figures"]] == [
        [line[key] for key in ("row", "mAP50", "mAP50 low", "mAP50 high")] for line in lines
    ]
    assert {each["row"] for each in written["figures"] if "lead" in each} == {"somebody-teacher"}
    assert (tmp_path / "pr_curves.png").stat().st_size > 1000
    printed = console.export_text()
    assert "hazy night, 1 image " in printed
    assert "hazy night, 1 image: lead over the best baseline" in " ".join(printed.split())
    assert "somebody-teacher " in printed and "…" not in printed


def test_engine_may_have_a_baseline_s_name_and_no_file_of_others_is_replaced(data: Path, tmp_path: Path) -> None:
    detectors = {"": data / "start.safetensors"}
    settings = Settings(
        data / "ir", data / "clear", data / "labels", engines=["average"], detectors=detectors, out=tmp_path
    )
    (tmp_path / "pr_curves.png").write_bytes(b"mine")
    with pytest.raises(TrainError, match=r"pr_curves.png: is in the way and was not written by fusecam"):
        run_detection(settings, Console(quiet=True), Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["pr_curves.png"]
    (tmp_path / "pr_curves.png").unlink()
    for _ in range(2):
        results = run_detection(settings, Console(quiet=True), Console(quiet=True))
    assert list(results["clear"]) == ["infrared only", "visible only", "average", "average engine"]


def test_four_channel_weights_have_a_four_channel_row(data: Path) -> None:
    save_detector(start_network("yolov5n.yaml", None, channels=4), data / "four.safetensors")
    detectors = {"": data / "start.safetensors", "four channels": data / "four.safetensors"}
    settings = Settings(data / "ir", data / "clear", data / "labels", detectors=detectors, disturb=True)
    results = run_detection(settings, Console(quiet=True), Console(quiet=True))
    for rows in results.values():
        assert list(rows) == ["infrared only", "visible only", "average", "four channels"]
    scene = Scene("1D", *(data / kind / "1D.png" for kind in ("ir", "clear", "clear", "clear")))
    images = read_sources(scene)
    np.testing.assert_array_equal(frames(scene, images, {})["four channels"][..., 3], images.infrared)


def test_disturbed_conditions_are_listed_but_not_in_the_mean(data: Path, tmp_path: Path) -> None:
    settings = Settings(
        data / "ir",
        data / "clear",
        data / "labels",
        hazy=data / "hazy",
        engines=["physics"],
        detectors={"": data / "start.safetensors"},
        out=tmp_path,
        disturb=True,
    )
    results = run_detection(settings, Console(quiet=True), Console(quiet=True))
    assert list(results) == ["all", "clear", "hazy", *DISTURBANCES]
    assert results["all"]["physics"].figures["person"].labels == 4
    assert {results[how]["physics"].figures["person"].labels for how in DISTURBANCES} == {2}
    with (tmp_path / "detection.csv").open() as file:
        assert {line["condition"] for line in csv.DictReader(file)} == set(results)


def test_infrared_can_be_moved_frozen_or_missing(data: Path) -> None:
    scene = Scene("1D", *(data / kind / "1D.png" for kind in ("ir", "clear", "clear", "clear")))
    images, other = read_sources(scene), np.full((10, 10), 7, np.uint8)
    heat, engine = images.infrared, {"average": create_engine("average", unlifted=True)}
    shifted = DISTURBANCES["infrared 8 px off"](images, other).infrared
    np.testing.assert_array_equal(shifted[:, 8:], heat[:, :-8])
    turned = DISTURBANCES["infrared turned by 5 degrees"](images, other).infrared
    assert (turned[47:49, 63:65] != 0).all() and not np.array_equal(turned, heat)
    assert (DISTURBANCES["infrared frozen"](images, other).infrared == 7).all()
    alone = frames(scene, DISTURBANCES["visible lost"](images, other), engine, "visible lost")
    for row in ("average", "infrared only"):
        np.testing.assert_array_equal(alone[row], np.repeat(heat[..., None], 3, 2))
    alone = frames(scene, DISTURBANCES["infrared lost"](images, other), engine, "infrared lost")
    np.testing.assert_array_equal(alone["average"], images.visible)


def test_engine_is_scored_by_detector_input_and_by_displayed_image(data: Path) -> None:
    settings = Settings(
        data / "ir",
        data / "clear",
        data / "labels",
        engines=["tiny", "physics"],
        detectors={"": data / "start.safetensors"},
    )
    results = run_detection(settings, Console(quiet=True), Console(quiet=True))
    assert list(results["clear"])[3:] == ["tiny", "tiny, as shown", "physics"]
    scene = Scene("1D", *(data / kind / "1D.png" for kind in ("ir", "clear", "clear", "clear")))
    engine = create_engine("tiny", lift=1.0, unlifted=True)
    images = read_sources(scene)
    found = frames(scene, images, {"tiny": engine})
    given, shown = found["tiny"], found["tiny, as shown"]
    assert not np.array_equal(given, shown)
    made = engine.fuse(images.visible, images.infrared, np.full_like(images.infrared, 255))
    assert np.array_equal(given, made.to_detect) and np.array_equal(shown, made.image)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--detect"], "needs --labels"),
        (["--hazy", "labels"], "give --detect"),
        (["--detect", "--labels", "ir"], "no boxes for this frame"),
        (["--detect", "--labels", "labels", "--detector", "nowhere"], "no such file"),
        (["--detect", "--labels", "labels", "--detector", "other=start.safetensors"], "no such row"),
        (["--detect", "--labels", "labels", "--detector", "ir/1D.png"], "no weights of a detector"),
        (
            ["--detect", "--labels", "labels", "--detector", "four channels=start.safetensors"],
            "start.safetensors: takes 3 channels: give --detector 'four channels=FILE' weights of 4",
        ),
    ],
)
def test_invalid_input_is_a_one_line_error(
    data: Path, more: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    given = [*more] if "--detector" in more or "--detect" not in more else [*more, "--detector", "start.safetensors"]
    result = CliRunner().invoke(APP, ["eval", "--ir", "ir", "--vis", "clear", *given])
    assert result.exit_code == 1
    assert told in " ".join(result.stderr.split()) and len(result.stderr.strip().splitlines()) == 1
