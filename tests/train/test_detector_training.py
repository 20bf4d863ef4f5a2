"""The detector's training: boxes follow their pixels, recipes are checked, a run writes weights that load."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fusecam.engines.base import EngineError
from fusecam.engines.detection import DetectorEngine
from fusecam.engines.detection.suppress import suppress
from fusecam.engines.detection.weights import DETECTOR_NAMES, detector_channels, load_detector, save_detector
from fusecam.train.detector.augment import cut, narrowed, with_pole
from fusecam.train.detector.boxes import read_boxes, write_boxes
from fusecam.train.detector.data import Examples, RandomCrops, read_frame
from fusecam.train.detector.fit import fit_detector
from fusecam.train.detector.images import make_images
from fusecam.train.detector.network import start_network
from fusecam.train.detector.recipe import DetectorRecipe
from fusecam.train.detector.streets import views
from fusecam.train.errors import TrainError
from fusecam.train.recipe import read_recipe

pytestmark = pytest.mark.slow

FOUND_BY = ("fused", "visible", "infrared", "average", "four")
RECIPES = Path(__file__).parents[2] / "train" / "recipes"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(384, 512), (480, 640), (192, 256)]))
def test_boxes_follow_their_pixels_into_the_crop(seed: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    image = np.zeros((480, 640, 3), np.uint8)
    x1, y1 = int(random.integers(0, 560)), int(random.integers(0, 420))
    x2, y2 = x1 + int(random.integers(24, 80)), y1 + int(random.integers(24, 60))
    image[y1:y2, x1:x2, 0] = 255  # red, unlike the gray that fills a window
    label = [[2, (x1 + x2) / 2 / 640, (y1 + y2) / 2 / 480, (x2 - x1) / 640, (y2 - y1) / 480]]
    window, boxes = cut(image, np.array(label, np.float32), size, random)
    assert window.shape == (*size, 3)
    red = (window[..., 0] > 128) & (window[..., 1] < 64)
    if not len(boxes):
        return  # too little of it is left: what remains of the label's area is checked below for the others
    assert len(boxes) == 1 and boxes[0, 0] == 2
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    height, width = size
    x, y, w, h = boxes[0, 1:] * [width, height, width, height]
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose([x - w / 2, y - h / 2, x + w / 2, y + h / 2], seen, atol=1)  # of a threshold on pixels


@pytest.mark.parametrize(("x", "y", "least", "most"), [(0.5, 0.5, 100, 100), (0.04, 0.93, 20, 80)])
def test_box_outside_the_crop_is_dropped(x: float, y: float, least: int, most: int) -> None:
    image, label = np.zeros((480, 640, 3), np.uint8), np.array([[0, x, y, 0.05, 0.1]], np.float32)
    kept = [len(cut(image, label, (384, 512), np.random.default_rng(seed))[1]) for seed in range(100)]
    assert least <= sum(kept) <= most  # every window has the frame's middle, not every one its corner


def test_narrow_infrared_view_leaves_the_sides_to_the_visible_frame() -> None:
    """Pixels and boxes of either frame, each where it counts."""
    fused, alone = np.full((48, 640, 3), 200, np.uint8), np.full((48, 640, 3), 50, np.uint8)
    at = np.linspace(0.005, 0.995, 100, dtype=np.float32)
    of_fused = np.stack([0 * at, at, 0 * at + 0.5, 0 * at + 0.01, 0 * at + 0.5], 1)
    of_alone = of_fused + np.array([2, 0, 0, 0, 0], np.float32)
    cut_off = 0
    for seed in range(30):
        image, boxes = narrowed(fused, of_fused, alone, of_alone, np.random.default_rng(seed))
        assert len(boxes) == len(at)
        for kind, x in boxes[:, :2]:
            columns = image[0, max(0, round(x * 640) - 3) : round(x * 640) + 3, 0]
            assert (200 if kind == 0 else 50) in columns
        cut_off += (boxes[:, 0] == 2).any()
        assert (boxes[:, 0] == 0).sum() >= 60
    assert cut_off > 15
    assert (fused == 200).all() and (alone == 50).all()


def test_pole_hides_at_most_half_of_a_person() -> None:
    image = np.random.default_rng(1).integers(100, 140, (480, 640, 3), np.uint8)
    person = np.array([[0, 0.5, 0.5, 0.1, 0.4], [2, 0.2, 0.5, 0.2, 0.2]], np.float32)
    for seed in range(50):
        changed = (with_pole(image, person, np.random.default_rng(seed)) != image).any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        if not len(columns):
            continue  # as light as what it hides
        assert columns[-1] - columns[0] <= 0.5 * 64 + 2
        assert columns[0] >= 288 - 32 and columns[-1] <= 352 + 32  # its middle within the box, half of it beside
        assert rows[0] < 480 * 0.45 and rows[-1] >= 480 * 0.68  # from above the shoulders to the feet
    nobody = with_pole(image, person[1:], np.random.default_rng(0))
    assert nobody.shape == image.shape and (nobody != image).any()


def test_boxes_round_trip_through_their_file(tmp_path: Path) -> None:
    boxes = np.array([[0, 0.25, 0.5, 0.1, 0.2], [2, 0.9, 0.1, 0.05, 0.05]], np.float32)
    write_boxes(tmp_path / "a.txt", boxes)
    np.testing.assert_allclose(read_boxes(tmp_path / "a.txt"), boxes, atol=1e-6)
    write_boxes(tmp_path / "none.txt", boxes[:0])
    assert read_boxes(tmp_path / "none.txt").shape == (0, 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no boxes"),
        ("0 0.5 0.5 0.1", "not boxes"),
        ("0 a b c d", "not boxes"),
        ("0 320 240 10 10", "outside"),
        ("3 .5 .5 .1 .1", "class 3; the classes are 0 person"),
        ("0.5 .5 .5 .1 .1", "class 0.5"),
    ],
)
def test_unreadable_boxes_are_refused(text: str | None, told: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(TrainError, match=told):
        read_boxes(tmp_path / "a.txt")


def test_shipped_recipe_is_valid_and_relative_to_the_data_root(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "detector.yaml", DetectorRecipe)
    assert recipe.data[0].root == tmp_path / "MSRS/train"
    assert recipe.data[0].labels is not None and recipe.data[0].labels.fused.parts[-2:] == ("train", "fusion")
    assert "dev" not in (RECIPES / "detector.yaml").read_text()  # development figures are never trained on


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("detector: {frozzen: 3}\ndata: [{root: x}]", "detector.frozzen"),
        ("detector: {}", "data"),
        ("detector: {}\ndata: [{root: x}]\nkinds: {thermal: 1}", "kinds.thermal"),
        ("detector: {}\ndata: [{root: x}]\nkinds: {four: 1, visible: 1}", "kinds: four channels fit no"),
        ("detector: {}\ndata: [{root: x}]\nkinds: {fused: 0}", "kinds: give one kind"),
        ("detector: {}\ndata: [{root: x, kinds: [infrared]}]\nkinds: {fused: 1}", "data.0.kinds: of these"),
        ("detector: {}\ndata: [{root: x}]\nsize: [380, 512]", "size.0: Input should be a multiple of 32"),
        ("detector: {}\ndata: [{root: x, hold_out: 1}]", "data.0.hold_out: of every pair none"),
        ("detector: {}\ndata: [{root: x}]\nnames: []", "names: invalid class names"),
    ],
)
def test_invalid_recipes_are_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(TrainError, match=told):
        read_recipe(tmp_path / "r.yaml", DetectorRecipe)


def test_weights_round_trip_without_unpickling(tmp_path: Path) -> None:
    network = start_network("yolov5n.yaml", None).eval()
    save_detector(network, tmp_path / "w.safetensors")
    loaded = load_detector(tmp_path / "w.safetensors")
    frame = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given, expected = loaded(frame)[0], network(frame)[0]
    assert given.shape == (1, 4 + len(DETECTOR_NAMES), 12 * 16 + 6 * 8 + 3 * 4)
    torch.testing.assert_close(given, expected, atol=0.5, rtol=0.02)  # fp16 in the file
    assert (tmp_path / "w.safetensors").stat().st_size < 6e6


def test_files_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"pickle")
    for path in (tmp_path / "w.safetensors", tmp_path / "none.safetensors"):
        with pytest.raises(EngineError, match="no weights of a detector"):
            load_detector(path)
    with pytest.raises(TrainError, match="no network that Ultralytics ships"):
        start_network("yolo_of_nobody.yaml", None)
    with pytest.raises(TrainError, match="not weights to start from"):
        start_network("yolov5n.yaml", tmp_path / "none.safetensors")


def test_start_weights_fill_matching_layers(tmp_path: Path) -> None:
    first = start_network("yolov5n.yaml", None)
    save_detector(first, tmp_path / "w.safetensors")
    second = start_network("yolov5n.yaml", tmp_path / "w.safetensors")
    name = "model.4.cv1.conv.weight"
    torch.testing.assert_close(second.state_dict()[name], first.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_rendered_streets_have_both_cameras_and_boxes_inside() -> None:
    (view,) = views(1, 1, seed=3)
    assert view.visible.shape == (480, 640, 3) and view.infrared.shape == view.coverage.shape == (480, 640)
    assert len(view.boxes) >= len(view.through_air) > 0
    assert set(view.boxes[:, 0].tolist()) <= {0, 1, 2}
    half = view.boxes[:, 3:] / 2
    assert (view.boxes[:, 1:3] - half).min() >= 0 and (view.boxes[:, 1:3] + half).max() <= 1


@pytest.fixture
def tiny(tmp_path: Path) -> DetectorRecipe:
    """Four pairs of noise with a bright box each."""
    random = np.random.default_rng(1)
    for folder in ("vis", "ir", "labels"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
    for index in range(4):
        visible = random.integers(0, 90, (120, 160, 3), np.uint8)
        infrared = random.integers(0, 90, (120, 160), np.uint8)
        visible[40:90, 60:90] = infrared[40:90, 60:90] = 230
        cv2.imwrite(str(tmp_path / f"pairs/vis/{index}.png"), visible)
        cv2.imwrite(str(tmp_path / f"pairs/ir/{index}.png"), infrared)
        label = np.array([[0, 75 / 160, 65 / 120, 30 / 160, 50 / 120]], np.float32)
        write_boxes(tmp_path / f"pairs/labels/{index}.txt", label)
    labels = str(tmp_path / "pairs/labels")
    source = {"root": str(tmp_path / "pairs"), "size": [120, 160], "hold_out": 4, "sharpen": True}
    return DetectorRecipe.model_validate(
        {
            "detector": {},
            "data": [source | {"labels": dict.fromkeys(("fused", "visible", "infrared"), labels)}],
            "engine": "average:torch",
            "size": (96, 128),
            "last_size": (128, 160),
            "last": 0.5,
            "batch": 2,
            "steps": 4,
            "steps_per_epoch": 2,
            "precision": "32-true",
        }
    )


def test_run_makes_frames_trains_and_resumes(tiny: DetectorRecipe, tmp_path: Path) -> None:
    weights = fit_detector(tiny, tmp_path / "out", bar=False)
    first = load_detector(weights).state_dict()
    examples = Examples(tiny, tmp_path / "out" / "frames")
    count = {kind: len(some) for (_, kind), some in examples.train.items()}
    assert count == {"fused": 3 * 3, "visible": 3 * 3, "infrared": 3}  # one pair of four is held out
    assert [each.image.stem for each in examples.held] == ["0", "0_degraded", "0_shown"]
    batch = next(iter(RandomCrops(tiny, examples, 1, 0)))
    assert batch["img"].shape == (2, 3, 96, 128) and batch["bboxes"].shape[1] == 4

    longer = tiny.model_copy(update={"steps": 6})
    second = load_detector(fit_detector(longer, tmp_path / "out", resume=True, bar=False)).state_dict()
    trained, frozen = "model.17.cv1.conv.weight", "model.0.conv.weight"
    assert not torch.equal(first[trained], second[trained])
    assert torch.equal(first[frozen], second[frozen])
    saved = torch.load(tmp_path / "out" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 6 and saved["spent"] > 0


def test_misregistration_changes_fused_frames_only(tiny: DetectorRecipe, tmp_path: Path) -> None:
    for often in (0, 1):
        make_images(tiny.model_copy(update={"misregistered": often}), tmp_path / str(often), bar=False)
    moved = [
        file.relative_to(tmp_path / "0")
        for file in sorted((tmp_path / "0/images").rglob("*.jpg"))
        if file.read_bytes() != (tmp_path / "1" / file.relative_to(tmp_path / "0")).read_bytes()
    ]
    assert {each.parts[2] for each in moved} == {"fused"}
    assert {each.stem for each in moved} >= {f"{pair}_degraded" for pair in range(4)}
    for label in (tmp_path / "0/labels").rglob("*.txt"):
        assert label.read_text() == (tmp_path / "1" / label.relative_to(tmp_path / "0")).read_text()


def test_four_channel_and_mean_inputs_use_the_same_frames(tiny: DetectorRecipe, tmp_path: Path) -> None:
    make_images(tiny, tmp_path / "frames", bar=False)
    of = {kind: Examples(tiny.model_copy(update={"kinds": {kind: 1}}), tmp_path / "frames") for kind in FOUND_BY}
    stems = [each.image.stem for each in of["four"].train["0", "four"]]
    assert stems == ["1", "1_degraded", "2", "2_degraded", "3", "3_degraded"]  # without what infrared is not in
    assert [each.image.stem for each in of["four"].held] == ["0", "0_degraded"]
    visible, infrared = (read_frame(of[kind].train["0", kind][0]) for kind in ("visible", "infrared"))
    four, average = (read_frame(of[kind].train["0", kind][0]) for kind in ("four", "average"))
    np.testing.assert_array_equal(four, np.dstack([visible, infrared[..., 0]]))
    np.testing.assert_allclose(average, (visible.astype(float) + infrared) / 2, atol=0.5)
    np.testing.assert_array_equal(of["four"].train["0", "four"][0].boxes, of["fused"].train["0", "fused"][0].boxes)


def test_four_channel_engine_equals_the_trained_network(tiny: DetectorRecipe, tmp_path: Path) -> None:
    recipe = tiny.model_copy(update={"kinds": {"four": 1}, "poles": 1.0, "quarters": 0.5})
    weights = fit_detector(recipe, tmp_path / "out", bar=False)
    assert detector_channels(weights) == 4
    image = np.random.default_rng(0).integers(0, 255, (64, 640, 4), np.uint8)
    found = DetectorEngine(weights, "f32").find(image, 0.0)[:5]
    with torch.no_grad():
        raw = load_detector(weights)(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0][0].numpy()
    expected = np.clip(suppress(raw, 0.0)[:5], 0, [640, 64, 640, 64, 1, 2])
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_fourth_channel_starts_from_the_others_and_keeps_gray_results(tmp_path: Path) -> None:
    first = start_network("yolov5n.yaml", None).eval()
    save_detector(first, tmp_path / "w.safetensors")
    second = start_network("yolov5n.yaml", tmp_path / "w.safetensors", channels=4).eval()
    grey = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given, expected = (network(grey.expand(1, n, 64, 64))[0] for n, network in ((4, second), (3, first)))
    torch.testing.assert_close(given, expected, atol=0.5, rtol=0.02)


def test_frames_of_other_settings_are_refused(tiny: DetectorRecipe, tmp_path: Path) -> None:
    make_images(tiny, tmp_path / "frames", bar=False)
    made = tmp_path / "frames" / "images" / "0" / "fused" / "0.jpg"
    before = made.stat().st_mtime_ns
    make_images(tiny.model_copy(update={"steps": 9, "poles": 0.5}), tmp_path / "frames", bar=False)
    assert made.stat().st_mtime_ns == before  # what does not change them does not matter
    with pytest.raises(TrainError, match=r"frames: frames of other settings; remove it"):
        make_images(tiny.model_copy(update={"engine": "maximum:torch"}), tmp_path / "frames", bar=False)
    (tmp_path / "frames" / "complete").unlink()
    with pytest.raises(TrainError, match="other settings"):  # half of them are no better
        make_images(tiny.model_copy(update={"seed": 5}), tmp_path / "frames", bar=False)


def test_kept_share_of_start_weights_is_in_the_result(tiny: DetectorRecipe, tmp_path: Path) -> None:
    start = load_detector(fit_detector(tiny, tmp_path / "start", bar=False)).state_dict()
    detector = tiny.detector.model_copy(update={"start": tmp_path / "start" / "weights.safetensors"})
    made = {}
    for keep in (0.0, 0.75):
        recipe = tiny.model_copy(update={"detector": detector.model_copy(update={"keep": keep}), "rate": 0.01})
        made[keep] = load_detector(fit_detector(recipe, tmp_path / str(keep), bar=False)).state_dict()
    moved = 0.0
    for name, value in made[0.0].items():
        if value.is_floating_point():
            moved = max(moved, float((value - start[name]).abs().max()))
            torch.testing.assert_close(made[0.75][name], start[name].lerp(value, 0.25), rtol=2e-3, atol=1e-3)
    assert moved > 0.02


def test_keep_refuses_weights_of_another_network(tmp_path: Path) -> None:
    whole = start_network("yolov5n.yaml", None).state_dict()
    save_file({name: value for name, value in whole.items() if name.startswith("model.0.")}, tmp_path / "w.safetensors")
    start_network("yolov5n.yaml", tmp_path / "w.safetensors")
    with pytest.raises(TrainError, match=r"detector\.keep: not weights of this detector"):
        start_network("yolov5n.yaml", tmp_path / "w.safetensors", whole=True)
    with pytest.raises(TrainError, match=r"detector\.keep: needs detector\.start"):
        start_network("yolov5n.yaml", None, whole=True)


def test_time_limit_ends_a_run(tiny: DetectorRecipe, tmp_path: Path) -> None:
    short = tiny.model_copy(update={"steps": 10_000, "minutes": 1e-6})
    fit_detector(short, tmp_path / "out", bar=False)
    saved = torch.load(tmp_path / "out" / "last.ckpt", weights_only=True)
    assert saved["global_step"] < 10
