"""Detectors: fusecam's own, Ultralytics models and plug-ins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ...engines.base import EngineError
from ...engines.detection import DetectorEngine
from ...engines.detection.quiet import guarded, threads_kept, ultralytics
from ...engines.detection.weights import DETECTOR_WEIGHTS
from ...engines.host.plugins import plugins
from ...engines.host.textfiles import what_text
from ..config import DetectorConfig
from ..core.detections import Detection
from ..core.frames import Pixels
from ..errors import InputError
from .plugged import PluggedDetector

_EXPORT = "_openvino_model"
_TASKS = ("detect", "segment", "pose")  # the tasks whose results have upright boxes


class Detector(Protocol):
    """Finds objects in one frame."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    def prepare(self, width: int, height: int) -> None:
        """Make ready for frames of this size. Raises EngineError."""
        ...

    def detect(self, image: Pixels) -> list[Detection]:
        """image: (H, W, 3) uint8 RGB. Best score first."""
        ...


def create_detector(config: DetectorConfig, lowest: float | None = None) -> Detector | None:
    """The detector that a run asks for, None for none: fusecam's own unless other weights are named.

    lowest: keep scores down to this one, regardless of the configuration, for the tracker to choose from.
    Raises InputError and EngineError where it cannot be used.
    """
    if not config.wanted:
        return None
    weights = config.weights or DETECTOR_WEIGHTS
    confidence = config.confidence if lowest is None else min(config.confidence, lowest)
    name, _, argument = str(weights).partition(":")
    if not weights.exists() and name in plugins("detectors"):
        return PluggedDetector(str(weights), name, argument, confidence, config.classes)
    if weights.suffix == ".safetensors":
        return OwnDetector(weights, confidence, config.classes)
    return UltralyticsDetector(weights, confidence, config.classes)


class OwnDetector:
    """fusecam's detector of people, bicycles and cars, or one that `fusecam train` made, as a compiled engine.

    confidence, classes: as for `UltralyticsDetector`. Raises InputError for weights that are not there and for class
    names that the detector does not have.
    """

    def __init__(
        self, weights: Path = DETECTOR_WEIGHTS, confidence: float = 0.25, classes: Sequence[str] | None = None
    ) -> None:
        try:
            self._engine = DetectorEngine(weights)
        except EngineError as e:
            raise InputError(f"{e}, or --no-detect") from e
        self._names, self.channels = self._engine.names, self._engine.channels
        self._confidence = confidence
        self._classes = None if classes is None else _ids(weights, self._names, classes)

    @property
    def name(self) -> str:
        """See `Detector`."""
        return self._engine.name

    def prepare(self, width: int, height: int) -> None:
        """See `Detector`: seconds at the first start with a frame size, less from the next on."""
        self._engine.prepare(width, height)

    def detect(self, image: Pixels) -> list[Detection]:
        """image: (H, W, `channels`) uint8. Best score first."""
        found = self._engine.find(image, self._confidence, self._classes).tolist()
        return [Detection(self._names[int(label)], score, (x1, y1, x2, y2)) for x1, y1, x2, y2, score, label in found]


class UltralyticsDetector:
    """Any Ultralytics detection, segmentation or pose model, from its `.pt` file or its OpenVINO export folder.

    confidence: lowest score kept, above 0 and below 1. classes: names of the classes kept, None for all.
    A model of four input channels gets visible RGB and registered infrared, in that order (`channels`).
    Nothing is downloaded, reported or installed. A `.pt` file is a Python pickle, which can run code of its author's
    choosing when it is read; Ultralytics is made to build nothing but its own model classes from it, whatever the
    environment says.
    Raises InputError for weights that cannot be used and for class names that the model does not have.
    """

    def __init__(self, weights: Path, confidence: float = 0.25, classes: Sequence[str] | None = None) -> None:
        if not weights.exists():
            known = f" or plug-in ({', '.join(others)})" if (others := plugins("detectors")) else ""
            raise InputError(f"{weights}: no such weights; give a file{known} with --detector, or --no-detect")
        if not (weights.is_dir() and weights.name.endswith(_EXPORT)) and not (
            weights.is_file() and weights.suffix.lower() == ".pt"
        ):
            raise InputError(
                f"{weights}: not weights for the detector; give an Ultralytics .pt file, or the NAME{_EXPORT} folder "
                "that `yolo export format=openvino` makes of one"
            )
        if weights.is_file() and (text := what_text(weights)):
            raise InputError(f"{weights}: {text}")
        self.name = weights.name
        with threads_kept():
            self._predictor, self._names, self.channels = _load(weights, confidence)
        self._predictor.args.classes = None if classes is None else _ids(weights, self._names, classes)

    def prepare(self, width: int, height: int) -> None:
        """See `Detector`. Nothing is built."""

    def detect(self, image: Pixels) -> list[Detection]:
        """image: (H, W, `channels`) uint8. Best score first."""
        found = self._predictor(cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if self.channels == 3 else image)[0].boxes
        rows = zip(found.xyxy.tolist(), found.conf.tolist(), found.cls.tolist(), strict=True)
        detections = [
            Detection(self._names[int(label)], score, (x1, y1, x2, y2))
            for (x1, y1, x2, y2), score, label in rows
            if all(map(math.isfinite, (x1, y1, x2, y2, score)))
        ]
        return sorted(detections, key=lambda detection: -detection.score)


def _load(weights: Path, confidence: float) -> tuple[Any, dict[int, str], int]:
    """Ultralytics' predictor for one model, set up and warm, the model's class names and its input channels."""
    yolo = ultralytics().YOLO
    task = None if weights.is_file() else str(_metadata(weights)["task"])
    try:
        with guarded():
            model = yolo(str(weights.absolute()), task=task)
            task = str(model.task)
            if task in _TASKS:
                of = _metadata(weights) if weights.is_dir() else getattr(model.model, "yaml", {})
                channels = int(of.get("channels", 3))
                if channels in (3, 4):
                    model.predict(np.zeros((64, 64, channels), np.uint8), conf=confidence, save=False, verbose=False)
                    names = {int(key): str(name) for key, name in model.predictor.model.names.items()}
                    return model.predictor, names, channels
    except Exception as e:  # unpickling a file that is no model can raise anything
        reason = " ".join(str(e).replace(str(weights.absolute()), "").replace("ERROR ❌️", "").split())
        if "outside the supported" in reason:
            if _of_yolov5(weights):
                raise InputError(
                    f"{weights}: made by the old YOLOv5, which Ultralytics cannot read; take the model of that name "
                    "that Ultralytics has (with a u: yolov5nu.pt), or retrain with it"
                ) from e
            raise InputError(
                f"{weights}: holds more than an Ultralytics model, which may run code when it is read, or none at all; "
                f"it is not loaded: where you trust it, export it with Ultralytics and give the NAME{_EXPORT} folder"
            ) from e
        raise InputError(
            f"{weights}: damaged or no Ultralytics model ({type(e).__name__}: {reason[:120]}); get or export it again"
        ) from e
    if task in _TASKS:
        raise InputError(f"{weights}: takes {channels} channels; give a model of 3 (fused) or 4 (RGB and infrared)")
    raise InputError(f"{weights}: is a model for '{task}'; give one for {', '.join(_TASKS)}, which have boxes")


def _of_yolov5(weights: Path) -> bool:
    """Whether a checkpoint names the classes of the YOLOv5 repository: torch packs it without compression."""
    with suppress(OSError):
        return b"models.yolo\n" in weights.read_bytes()
    return False


def _metadata(folder: Path) -> dict[str, Any]:
    """What Ultralytics wrote beside an export."""
    import yaml

    try:
        said = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
        return {"task": said["task"], "channels": said.get("channels", 3)}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, KeyError) as e:
        raise InputError(f"{folder}: no usable metadata.yaml; export the model again with Ultralytics") from e


def _ids(weights: Path, names: dict[int, str], wanted: Sequence[str]) -> list[int]:
    known = {name: key for key, name in names.items()}
    missing = [name for name in wanted if name not in known]
    if missing or not wanted:
        unknown = f"no class '{missing[0]}'" if missing else "detector.classes is empty"
        raise InputError(f"{weights}: {unknown}; its classes are {', '.join(known)}")
    return [known[name] for name in wanted]
