"""Detections of a run as labels, read back by the tools that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fusecam.pipeline.cli import app
from fusecam.pipeline.errors import InputError

from .clips import write_video

FOUND = [
    {"class": "person", "score": 0.9, "box": [10.0, 20.5, 30.0, 60.5], "track": 4},
    {"class": "car", "score": 0.4, "box": [100.0, 50.0, 170.0, 110.0], "track": 7},
    {"class": "person", "score": 0.5, "box": [0.0, 0.0, 8.0, 9.0], "track": 9, "coasted": True},
]


def line(frame: int, detections: list, **more: object) -> str:
    return json.dumps({"frame": frame, **more, "time": frame / 25, "skew_ms": 0.0, "detections": detections})


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Lines of three frames with the fused video beside them."""
    pictures = [np.full((120, 160, 3), 60 * i, np.uint8) for i in range(3)]
    write_video(tmp_path / "fused.mp4", range(3), pictures=pictures)
    path = tmp_path / "fused.jsonl"
    path.write_text("\n".join([line(0, FOUND), line(1, []), line(2, FOUND[:1])]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lines of two images of a folder, the fused images beside them."""
    (tmp_path / "fused").mkdir()
    for name, size in (("b", (90, 120)), ("c", (60, 80))):
        cv2.imwrite(str(tmp_path / "fused" / f"{name}.png"), np.zeros((*size, 3), np.uint8))
    path = tmp_path / "fused.jsonl"
    path.write_text(line(0, FOUND[:1], image="b.jpg") + "\n" + line(2, FOUND[:1], image="c.jpg") + "\n")
    return path


def run(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["labels", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception


def test_coco_export_is_read_by_pycocotools(video: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    run(video, "--to", "coco", "-o", tmp_path / "c.json")
    truth = COCO(str(tmp_path / "c.json"))
    assert [(i["file_name"], i["width"], i["height"]) for i in truth.dataset["images"]] == [
        (f"fused_{n:06d}.png", 160, 120) for n in range(3)
    ]
    assert {c["id"]: c["name"] for c in truth.loadCats(truth.getCatIds())} == {1: "person", 2: "bicycle", 3: "car"}
    found = truth.loadAnns(truth.getAnnIds(imgIds=[1]))
    assert [(a["category_id"], a["bbox"]) for a in found] == [(1, [10, 20.5, 20, 40]), (3, [100, 50, 70, 60])]
    wanted = ("image_id", "category_id", "bbox", "score")
    answers = truth.loadRes([{key: a[key] for key in wanted} for a in truth.dataset["annotations"]])
    score = COCOeval(truth, answers, "bbox")
    score.evaluate()
    score.accumulate()
    score.summarize()
    assert score.stats[0] == pytest.approx(1)


def test_yolo_export_is_read_by_ultralytics(video: Path, tmp_path: Path) -> None:
    from ultralytics.data.dataset import YOLODataset

    out = tmp_path / "set"
    run(video, "--to", "yolo", "-o", out)
    about = yaml.safe_load((out / "data.yaml").read_text())
    assert about["names"] == {0: "person", 1: "bicycle", 2: "car"}
    data = YOLODataset(img_path=str(out / about["train"]), data={**about, "channels": 3}, task="detect", augment=False)
    first = next(label for label in data.labels if label["im_file"].endswith("fused_000000.png"))
    assert len(data.labels) == 3
    assert first["cls"].ravel().tolist() == [0, 2]
    assert first["bboxes"] * [160, 120, 160, 120] == pytest.approx(
        np.array([[20, 40.5, 20, 40], [130, 80, 60, 60]]), abs=0.01
    )
    assert sum(len(label["cls"]) for label in data.labels) == 3


def test_mot_export_is_one_based_with_predicted_boxes(video: Path, tmp_path: Path) -> None:
    new = {"class": "car", "score": 0.8, "box": [1.0, 2.0, 3.0, 4.0]}  # numbered from its second frame on
    video.write_text("\n".join([line(0, FOUND), line(1, [new]), line(2, FOUND[:1])]) + "\n")
    run(video, "--to", "mot", "-o", tmp_path / "t.txt")
    rows = np.loadtxt(tmp_path / "t.txt", delimiter=",")
    assert rows[:, :2].tolist() == [[1, 4], [1, 7], [1, 9], [3, 4]]
    assert rows[0].tolist() == [1, 4, 11, 21.5, 20, 40, 0.9, -1, -1, -1]


def test_images_of_a_folder_keep_names_and_sizes(folder: Path, tmp_path: Path) -> None:
    run(folder, "--to", "coco", "-o", tmp_path / "c.json")
    images = json.loads((tmp_path / "c.json").read_text())["images"]
    assert [(i["file_name"], i["width"], i["height"]) for i in images] == [("b.jpg", 120, 90), ("c.jpg", 80, 60)]
    run(folder, "--to", "yolo", "-o", tmp_path / "set")
    assert sorted(p.name for p in (tmp_path / "set" / "images").iterdir()) == ["b.png", "c.png"]
    row = (tmp_path / "set" / "labels" / "c.txt").read_text().split()
    assert float(row[1]) * 80 == pytest.approx(20, abs=0.01)


def test_classes_and_confidence_filter_the_labels(video: Path, tmp_path: Path) -> None:
    run(video, "--to", "coco", "-o", tmp_path / "c.json", "--classes", "car,person", "--conf", "0.45")
    data = json.loads((tmp_path / "c.json").read_text())
    assert [c["name"] for c in data["categories"]] == ["car", "person"]
    assert [a["category_id"] for a in data["annotations"]] == [2, 2]


@pytest.mark.parametrize(
    ("text", "to", "said"),
    [
        ("", "coco", "is empty"),
        ("{]\n", "mot", "line 1 is no frame of a run"),
        ('{"frame": 0, "detections": [{"class": "car", "score": 1, "box": [1, 2, 3]}]}\n', "mot", "line 1"),
        (line(0, [{"class": "car", "score": 1, "box": [1, 2, 3, 4]}]) + "\n", "mot", "have no tracks"),
        (line(0, FOUND) + "\n", "coco", "has 3 pictures"),
    ],
)
def test_unusable_inputs_are_named(video: Path, tmp_path: Path, text: str, to: str, said: str) -> None:
    video.write_text(text)
    with pytest.raises(InputError, match=said):
        run(video, "--to", to, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_existing_outputs_and_inputs_are_not_overwritten(video: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("")
    with pytest.raises(InputError, match="already exists"):
        run(folder, "--to", "yolo", "-o", tmp_path / "set")
    with pytest.raises(InputError, match="is also the input"):
        run(folder, "--to", "coco", "-o", folder)
    for form in ("coco", "mot"):
        with pytest.raises(InputError, match="is also the input"):
            run(video, "--to", form, "-o", tmp_path / "fused")
    (tmp_path / "fused" / "c.png").unlink()
    with pytest.raises(InputError, match=r"no picture for 1 lines.*c\.jpg"):
        run(folder, "--to", "yolo", "-o", tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fused", "fused.jsonl", "fused.mp4", "set"]
