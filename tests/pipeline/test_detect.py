"""Detection with real Ultralytics models, built from their descriptions: no weights file is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from fusecam.engines.detection.quiet import ultralytics
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.frames import Pixels
from fusecam.pipeline.detection.detect import UltralyticsDetector
from fusecam.pipeline.errors import InputError

from .detectors import SMALL, make_sure

pytestmark = pytest.mark.slow

NAMES = {0: "person", 1: "bicycle", 2: "car"}


def build(path: Path, description: str) -> Path:
    """A model with random weights that is sure of itself, so that it finds boxes."""
    torch.manual_seed(0)
    model = ultralytics().YOLO(description)
    model.model.names = NAMES
    make_sure(model.model, street())
    model.save(path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "yolo11n.yaml").write_text(SMALL.format(head="Detect"))
    return build(folder / "detector.pt", str(folder / "yolo11n.yaml"))


def street(width: int = 320, height: int = 256) -> Pixels:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (8, 10, 3)), np.ones((32, 32, 1)))[:height, :width].astype(np.uint8)


def test_four_channel_input_is_visible_plus_infrared(tmp_path: Path) -> None:
    """The boxes of a run are those that Ultralytics finds in RGB and registered infrared."""
    from fusecam.engines.base import Fused
    from fusecam.pipeline.run.chain import to_detect

    from .make_results import result

    torch.manual_seed(0)
    (tmp_path / "yolo11n.yaml").write_text(SMALL.format(head="Detect"))
    model = ultralytics().YOLO(str(tmp_path / "yolo11n.yaml"))
    model.model = ultralytics("ultralytics.nn.tasks").DetectionModel(
        str(tmp_path / "yolo11n.yaml"), ch=4, verbose=False
    )
    model.model.names = NAMES
    both = np.dstack([street(), street()[::-1, :, 0]])
    make_sure(model.model, both)
    model.save(tmp_path / "four.pt")
    detector = UltralyticsDetector(tmp_path / "four.pt", 0.001)
    assert detector.channels == 4
    pair = result(0, street()).pair
    nothing = np.zeros((1, 1), np.uint8)
    image = to_detect(detector, pair, Fused(street(), street(), nothing, nothing, both[..., 3]))
    np.testing.assert_array_equal(image, both)
    found = detector.detect(image)
    expected = (
        ultralytics().YOLO(str(tmp_path / "four.pt")).predict(both, conf=0.001, verbose=False, save=False)[0].boxes
    )
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose([each.score for each in found], expected.conf.tolist(), atol=1e-5)
    dark = detector.detect(np.dstack([street(), np.zeros_like(both[..., 3])]))
    assert [each.score for each in dark] != [each.score for each in found]


@pytest.mark.parametrize("size", [(320, 256), (161, 121)])
def test_boxes_equal_ultralytics_sorted_and_in_range(weights: Path, size: tuple[int, int]) -> None:
    image = street(*size)
    found = UltralyticsDetector(weights, 0.001).detect(image)
    model = ultralytics().YOLO(str(weights))
    expected = model.predict(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), conf=0.001, verbose=False, save=False)[0].boxes
    assert len(found) == len(expected) > 0
    order = np.argsort(-expected.conf.numpy(), kind="stable")
    np.testing.assert_allclose([d.box for d in found], expected.xyxy.numpy()[order], atol=0.01)
    np.testing.assert_allclose([d.score for d in found], expected.conf.numpy()[order], atol=1e-5)
    assert [d.label for d in found] == [NAMES[int(label)] for label in expected.cls[torch.from_numpy(order)]]
    for d in found:
        assert 0 <= d.box[0] <= d.box[2] <= size[0]
        assert 0 <= d.box[1] <= d.box[3] <= size[1]
        assert type(d.box[0]) is type(d.score) is float
        assert d.track is None


def test_colours_are_not_swapped(weights: Path) -> None:
    detector = UltralyticsDetector(weights, 0.001)
    image = street()
    image[..., 2] = 0
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert detector.detect(image) != detector.detect(swapped)
    expected = ultralytics().YOLO(str(weights)).predict(swapped, conf=0.001, verbose=False, save=False)
    assert sorted(d.score for d in detector.detect(image)) == pytest.approx(
        sorted(expected[0].boxes.conf.tolist()), abs=1e-5
    )


def test_classes_and_confidence_filter_boxes(weights: Path) -> None:
    every = UltralyticsDetector(weights, 0.001).detect(street())
    some = UltralyticsDetector(weights, 0.001, ["car"]).detect(street())
    assert {d.label for d in every} > {"car"} == {d.label for d in some}
    confidence = sorted(d.score for d in every)[len(every) // 2]
    above = UltralyticsDetector(weights, confidence).detect(street())
    assert above
    assert min(d.score for d in above) >= confidence


def test_segmentation_model_gives_boxes(tmp_path: Path) -> None:
    (tmp_path / "yolo11n-seg.yaml").write_text(SMALL.format(head="Segment").replace("[nc]", "[nc, 8, 32]"))
    weights = build(tmp_path / "segmenter.pt", str(tmp_path / "yolo11n-seg.yaml"))
    assert UltralyticsDetector(weights, 0.001).detect(street())


@pytest.mark.filterwarnings("ignore")
def test_openvino_export_gives_the_same_boxes(weights: Path) -> None:
    model = ultralytics().YOLO(str(weights))
    exported = Path(model.export(format="openvino", imgsz=(256, 320), verbose=False))
    ours = UltralyticsDetector(exported, 0.3).detect(street())
    theirs = UltralyticsDetector(weights, 0.3).detect(street())
    # OpenVINO may compute in bfloat16, so that boxes near the limit come and go.
    assert len(ours) == pytest.approx(len(theirs), rel=0.2)
    assert {d.label for d in ours} == {d.label for d in theirs} == set(NAMES.values())
    (exported / "metadata.yaml").unlink()
    with pytest.raises(InputError, match=r"_openvino_model: no usable metadata\.yaml"):
        UltralyticsDetector(exported)


def truncate(path: Path, weights: Path) -> None:
    path.write_bytes(weights.read_bytes()[:10_000])


def save(content: object) -> Callable[[Path, Path], None]:
    return lambda path, weights: torch.save(content, path)


def save_with_a_name_that_is_no_text(path: Path, weights: Path) -> None:
    torch.save({"model": Harmful()}, path)
    path.write_bytes(path.read_bytes().replace(b"/data.pkl", b"/dat\x80.pkl", 1))


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("this-must-not-exist",)


@pytest.mark.parametrize(
    ("name", "make", "pattern"),
    [
        ("absent.pt", lambda path, weights: None, r"absent\.pt: no such weights"),
        ("absent_openvino_model", lambda path, weights: None, "no such weights"),
        ("folder", lambda path, weights: path.mkdir(), "folder: not weights for the detector"),
        ("folder.pt", lambda path, weights: path.mkdir(), "not weights for the detector"),
        ("notes.txt", lambda path, weights: path.write_text("hello"), "not weights for the detector"),
        ("model.onnx", lambda path, weights: path.write_bytes(b"\x08"), "export format=openvino"),
        ("truncated.pt", truncate, "truncated.pt: damaged or no Ultralytics model"),
        ("empty.pt", lambda path, weights: path.write_bytes(b""), "damaged or no Ultralytics model"),
        ("text.pt", lambda path, weights: path.write_text("hello"), "damaged or no Ultralytics model"),
        ("other.pt", save({"a": torch.zeros(2)}), r"other\.pt: "),
        ("list.pt", save([1, 2]), r"list\.pt: "),
        ("harmful.pt", save({"model": Harmful()}), "may run code when it is read"),
        ("garbled.pt", save_with_a_name_that_is_no_text, r"garbled\.pt: holds more than an Ultralytics model"),
    ],
)
def test_invalid_weights_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Path,
    name: str,
    make: Callable[[Path, Path], None],
    pattern: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name, weights)
    with pytest.raises(InputError, match=pattern) as caught:
        UltralyticsDetector(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not Path("this-must-not-exist").exists()


def test_classifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yolo11n-cls.yaml").write_text(SMALL.replace("[[2, 3, 4], 1, {head}, [nc]]", "[-1, 1, Classify, [nc]]"))
    weights = build(tmp_path / "classifier.pt", str(tmp_path / "yolo11n-cls.yaml"))
    with pytest.raises(InputError, match=r"classifier\.pt: is a model for 'classify'; give one for detect"):
        UltralyticsDetector(weights)


@pytest.mark.parametrize(("classes", "pattern"), [(["zebra"], "no class 'zebra'"), ([], "classes is empty")])
def test_unknown_class_error_lists_the_known_classes(weights: Path, classes: list[str], pattern: str) -> None:
    with pytest.raises(InputError, match=rf"{pattern}; its classes are person, bicycle, car"):
        UltralyticsDetector(weights, classes=classes)


def test_boxes_are_scaled() -> None:
    assert Detection("car", 0.5, (1, 2, 3, 4), 9).scaled(2, 0.5) == Detection("car", 0.5, (2, 1, 6, 2), 9)


def test_importing_stays_quiet_offline_and_leaves_threads_alone(weights: Path, tmp_path: Path) -> None:
    """In a fresh process, in which nothing has been imported or set, and every connection fails loudly."""
    program = f"""
        import os, socket, sys
        from pathlib import Path
        def refuse(*arguments, **named):
            os._exit(77)
        socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
        import cv2, torch
        cv2.setNumThreads(3)
        torch.set_num_threads(3)
        import numpy as np
        from fusecam.pipeline.detection.detect import UltralyticsDetector
        assert "ultralytics" not in sys.modules
        UltralyticsDetector(Path({str(weights)!r}), 0.001).detect(np.zeros((96, 128, 3), np.uint8))
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (3, 3)
        assert "OMP_NUM_THREADS" not in os.environ
        assert repr(np.array([0.5])) == "array([0.5])"
        import ultralytics
        assert not ultralytics.utils.ONLINE and not ultralytics.utils.AUTOINSTALL
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YOLO_", "ULTRALYTICS_", "OMP_", "PYTEST_"))
    } | {"YOLO_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_detector_keeps_pillow_unpatched(weights: Path, tmp_path: Path) -> None:
    UltralyticsDetector(weights)
    (tmp_path / "no.png").write_bytes(b"no image")
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "no.png")
