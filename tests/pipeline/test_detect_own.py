"""fusecam's own detector as a compiled engine, against Ultralytics: the same boxes, piece by piece and as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fusecam.engines.backends.openvino.ov import ov
from fusecam.engines.base import EngineRefused
from fusecam.engines.build import store
from fusecam.engines.detection import DetectorEngine, Letterbox
from fusecam.engines.detection.parity import Agreement, compare, frames
from fusecam.engines.detection.quiet import ultralytics
from fusecam.engines.detection.suppress import suppress
from fusecam.engines.detection.weights import DETECTOR_NAMES, DETECTOR_WEIGHTS, load_detector
from fusecam.pipeline.config import DetectorConfig
from fusecam.pipeline.detection.detect import OwnDetector, create_detector
from fusecam.pipeline.errors import InputError

from .detectors import own_weights, street_scene

pytestmark = pytest.mark.slow

SIZES = [(640, 480), (641, 479), (1280, 720), (320, 256), (480, 640), (97, 301)]


@pytest.fixture(scope="module", autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other for long where the tests are not alone on the machine
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")


@pytest.fixture(scope="module", params=["random", "trained"])
def weights(request: pytest.FixtureRequest, random_weights: Path) -> Path:
    if request.param == "trained" and not DETECTOR_WEIGHTS.exists():
        pytest.skip("no trained weights are installed")
    return DETECTOR_WEIGHTS if request.param == "trained" else random_weights


def predictor(weights: Path, confidence: float) -> Any:
    """Ultralytics' own, on the same network."""
    predict = ultralytics("ultralytics.models.yolo.detect").DetectionPredictor
    settings = {"conf": confidence, "imgsz": 640, "rect": True, "save": False, "verbose": False, "device": "cpu"}
    found = predict(overrides=settings)  # as YOLO.predict makes it
    found.setup_model(load_detector(weights), verbose=False)
    return found


def confidence_with(weights: Path, count: int) -> float:
    """The middle of a gap between two scores, with about `count` anchors above it, so that none is on the edge."""
    raw = load_detector(weights)(torch.from_numpy(street_scene(640, 480)).permute(2, 0, 1)[None] / 255)[0]
    best = np.sort(raw[0, 4:].amax(0).detach().numpy())[::-1][count // 2 : count * 2]
    widest = int((best[:-1] - best[1:]).argmax())
    return float(best[widest] + best[widest + 1]) / 2


@pytest.mark.parametrize("size", SIZES)
def test_boxes_equal_the_ultralytics_predictor(weights: Path, size: tuple[int, int]) -> None:
    """Letterbox, network in f32, suppression and the way back, together."""
    confidence = 0.25 if weights == DETECTOR_WEIGHTS else confidence_with(weights, 60)
    image = street_scene(*size)
    ours = DetectorEngine(weights, "f32").find(image, confidence)
    theirs = predictor(weights, confidence)(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[0].boxes.data.numpy()
    assert len(ours) == len(theirs)
    assert len(ours) > 0 or weights == DETECTOR_WEIGHTS
    np.testing.assert_allclose(ours[:, :4], theirs[:, :4], atol=1)
    np.testing.assert_allclose(ours[:, 4], theirs[:, 4], atol=1e-3)
    np.testing.assert_array_equal(ours[:, 5], theirs[:, 5])


@given(width=st.integers(32, 4000), height=st.integers(32, 4000))
def test_letterbox_position_equals_ultralytics(width: int, height: int) -> None:
    plan = Letterbox.of(width, height)
    theirs = ultralytics("ultralytics.data.augment").LetterBox(640, auto=True, stride=32)
    theirs = theirs(image=np.zeros((height, width, 3), np.uint8))
    assert theirs.shape == (plan.height, plan.width, 3)
    ys, xs = np.nonzero(theirs[..., 0] != 114)
    inside = plan.left, plan.top, plan.left + plan.inner[0] - 1, plan.top + plan.inner[1] - 1
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == inside


@pytest.mark.parametrize("size", SIZES)
def test_letterbox_pixels_equal_ultralytics(size: tuple[int, int]) -> None:
    image, plan = street_scene(*size), Letterbox.of(*size)
    ours = np.zeros((plan.height, plan.width, 3), np.uint8)
    plan.fill(image, ours)
    np.testing.assert_array_equal(
        ours, ultralytics("ultralytics.data.augment").LetterBox(640, auto=True, stride=32)(image=image)
    )


@given(width=st.integers(32, 4000), height=st.integers(32, 4000), seed=st.integers(0, 99))
def test_boxes_are_scaled_back_like_ultralytics(width: int, height: int, seed: int) -> None:
    plan = Letterbox.of(width, height)
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(-50, 700, (20, 4)).astype(np.float32)
    theirs = ultralytics("ultralytics.utils.ops").scale_boxes((plan.height, plan.width), boxes.copy(), (height, width))
    # theirs derives the scale from the padded input, or the rounded one: off by that much of the frame, and a pixel
    taken = min(plan.width / width, plan.height / height) / min(640 / width, 640 / height)
    allowed = max(1, width / 640, height / 640) + max(width, height) * abs(1 / taken - 1)
    np.testing.assert_allclose(plan.to_image(boxes), theirs, atol=allowed)
    there = rng.uniform(0, 1, (20, 4)) * np.array([width, height] * 2)
    scale = np.array([plan.inner[0] / width, plan.inner[1] / height] * 2)
    moved = there * scale + np.array([plan.left, plan.top] * 2)
    np.testing.assert_allclose(plan.to_image(moved.astype(np.float32)), there, atol=0.01)


@settings(deadline=None)
@example(seed=0, count=351, confidence=0.001, classes=None)  # a pair just at the limit
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 400).filter(lambda count: count != 6),  # six columns are finished boxes to theirs
    confidence=st.sampled_from([0.001, 0.25, 0.6, 0.999]),
    classes=st.sampled_from([None, [0], [1, 2]]),
)
def test_suppression_equals_ultralytics(seed: int, count: int, confidence: float, classes: list[int] | None) -> None:
    rng = np.random.default_rng(seed)
    raw = np.concatenate(
        [rng.uniform(100, 160, (2, count)), rng.uniform(20, 60, (2, count)), rng.uniform(0, 1, (3, count))]
    ).astype(np.float32)
    nms = ultralytics("ultralytics.utils.nms").non_max_suppression
    # in float64, for theirs moves classes apart by thousands of pixels: float32 loses what decides at an IoU of 0.7
    theirs = nms(torch.from_numpy(raw.astype(np.float64))[None], confidence, 0.7, classes)[0].numpy()
    ours = suppress(raw, confidence, classes)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_suppression_keeps_at_most_300_boxes() -> None:
    raw = np.zeros((7, 1000), np.float32)
    raw[0] = np.arange(1000) * 20
    raw[2:4], raw[4] = 10, np.linspace(0.3, 0.9, 1000)
    rows = suppress(raw, 0.25)
    assert len(rows) == 300
    assert rows[0, 4] == rows[:, 4].max()


def test_size_is_built_once_and_loaded_without_torch(random_weights: Path) -> None:
    DetectorEngine(random_weights).prepare(320, 256)
    entry = next(entry for entry in store.entries() if entry.key["shape"] == "640x512")
    used = entry.facts.pop("used")
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):  # by what it can do, not by a clock
        assert next(iter(entry.facts)) == "bf16"
        assert Agreement(**entry.facts["bf16"]).passed("bf16") == (used == "bf16")
    else:
        assert list(entry.facts) == [used] == ["f32"]
    assert entry.facts[used]["boxes"] >= 60
    program = f"""
        import sys
        from pathlib import Path
        import numpy as np
        from fusecam.pipeline.detection.detect import OwnDetector
        found = OwnDetector(Path({str(random_weights)!r}), 0.5).detect(np.load(sys.argv[1]))
        assert "torch" not in sys.modules and "ultralytics" not in sys.modules
        print(len(found))
    """
    picture = random_weights.with_name("picture.npy")
    np.save(picture, street_scene(320, 256))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(picture)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(OwnDetector(random_weights, 0.5).detect(street_scene(320, 256))) > 0


def test_damaged_cache_entry_is_rebuilt(random_weights: Path) -> None:
    image = street_scene(320, 256)
    expected = DetectorEngine(random_weights).find(image, 0.5)
    entry = next(entry for entry in store.entries() if entry.key["shape"] == "640x512")
    (entry.path / "compiled.blob").write_bytes(b"no engine")
    np.testing.assert_allclose(DetectorEngine(random_weights).find(image, 0.5), expected, atol=1)
    manifest = entry.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"facts": {}}))
    np.testing.assert_allclose(DetectorEngine(random_weights).find(image, 0.5), expected, atol=1)


@pytest.mark.skipif("BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="CPU without bf16")
def test_precision_that_moves_boxes_is_refused(random_weights: Path) -> None:
    """Random weights amplify the rounding of bf16 to many pixels, which trained ones do not."""
    with pytest.raises(EngineRefused, match=r"random:openvino:bf16: at 640x512 .* differs from the network's: bf16: "):
        DetectorEngine(random_weights, "bf16").prepare(320, 256)


@pytest.mark.parametrize(
    ("shift", "less", "f32", "bf16"),
    [
        (0, 0, True, True),
        (0.9, 0, True, True),
        (1.1, 0, False, True),  # more than f32 may, but the boxes overlap as they should
        (6, 0, False, False),
        (0, 0.02, False, True),
        (0, 0.06, False, True),
        (0, 0.07, False, False),
    ],
)
def test_gate_limits_shift_and_score_loss(shift: float, less: float, f32: bool, bf16: bool) -> None:
    """Every box moved by `shift` pixels, every score by `less`."""

    def reference(image: np.ndarray) -> np.ndarray:
        found = np.random.default_rng(image.sum()).uniform(0, 1, (7, 50)).astype(np.float32)
        found[:2] *= 300
        found[2:4] = 60 + 100 * found[2:4]
        return found

    def engine(image: np.ndarray) -> np.ndarray:
        return reference(image) + np.array([shift, 0, 0, 0, -less, 0, 0], np.float32)[:, None]

    agreement = compare(reference, engine, 160, 128)
    assert (agreement.passed("f32"), agreement.passed("bf16")) == (f32, bf16)
    assert agreement.boxes > 6 * 10
    assert agreement.pixels == pytest.approx(shift, abs=1e-3)
    assert agreement.score == pytest.approx(less, abs=1e-3)
    assert agreement.most == pytest.approx(less, abs=1e-3)
    # of two boxes of width w, w - shift is in both and w + shift in either
    assert (60 - shift) / (60 + shift) - 1e-3 <= agreement.overlap <= (160 - shift) / (160 + shift) + 1e-3


@pytest.mark.parametrize(
    ("moved", "less", "f32", "bf16"), [(1, 0.1, False, True), (1, 0.26, False, False), (5, 0.1, False, False)]
)
def test_one_percent_of_scores_may_deviate_further_in_bf16(moved: int, less: float, f32: bool, bf16: bool) -> None:
    """Of 40 boxes in each of six frames `moved` in one of them."""
    first = next(frames(160, 128)).tobytes()

    def reference(image: np.ndarray) -> np.ndarray:
        return np.full((7, 40), 0.5, np.float32) * np.array([200, 200, 100, 100, 1, 1, 1], np.float32)[:, None]

    def engine(image: np.ndarray) -> np.ndarray:
        found = reference(image)
        found[4, : moved if image.tobytes() == first else 0] -= less
        return found

    agreement = compare(reference, engine, 160, 128)
    assert agreement.boxes == 6 * 40
    assert agreement.score == pytest.approx(less)
    assert (agreement.passed("f32"), agreement.passed("bf16")) == (f32, bf16)


def test_gate_frames_differ_and_agreement_is_readable() -> None:
    shown = list(frames(160, 128))
    assert len(shown) == 6
    assert all(image.shape == (128, 160, 3) and image.dtype == np.uint8 for image in shown)
    assert len({image.tobytes() for image in shown}) == 6
    told = "boxes within 0.50 px, overlap 0.980, scores within 0.0210, 99 % of them 0.0040, of 9"
    assert str(Agreement(0.5, 0.021, 0.004, 0.98, 9)) == told


def test_detections_have_names_and_are_sorted(random_weights: Path) -> None:
    image = street_scene(640, 480)
    confidence = confidence_with(random_weights, 60)
    every = OwnDetector(random_weights, confidence).detect(image)
    assert {found.label for found in every} <= set(DETECTOR_NAMES.values())
    assert [found.score for found in every] == sorted((found.score for found in every), reverse=True)
    label = every[0].label
    some = OwnDetector(random_weights, confidence, [label]).detect(image)
    assert some == [found for found in every if found.label == label]
    with pytest.raises(InputError, match="no class 'zebra'; its classes are person, bicycle, car"):
        OwnDetector(random_weights, classes=["zebra"])


def test_weights_select_the_detector(random_weights: Path, tmp_path: Path) -> None:
    own = create_detector(DetectorConfig(weights=random_weights))
    assert isinstance(own, OwnDetector)
    assert own.name == "random:openvino:auto"
    own.prepare(640, 480)
    assert own.name in ("random:openvino:f32", "random:openvino:bf16")
    assert create_detector(DetectorConfig(enabled=False, weights=random_weights)) is None
    default = create_detector(DetectorConfig())
    assert isinstance(default, OwnDetector) if DETECTOR_WEIGHTS.exists() else default is None
    with pytest.raises(InputError, match=r"no\.pt: no such weights; give a file with --detector, or --no-detect"):
        create_detector(DetectorConfig(weights=tmp_path / "no.pt"))
    with pytest.raises(InputError, match=r"no\.safetensors: No such file or directory; .* or --no-detect"):
        create_detector(DetectorConfig(weights=tmp_path / "no.safetensors"))


def test_invalid_detector_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match=r"text\.safetensors: no weights of a detector") as caught:
        OwnDetector(tmp_path / "text.safetensors")
    assert "\n" not in str(caught.value)
