"""Detectors by their weights, as functions from a frame to what is found in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ...engines.base import Pixels
from ...engines.detection import DetectorEngine
from ..errors import TrainError
from .detection import LEAST, Floats

Find = Callable[[Pixels], Floats]
"""(H, W, 3) uint8 RGB, or (H, W, 4) with infrared, to (N, 6): x1, y1, x2, y2 in pixels, score from LEAST, class."""
COCO_HEAD = "model.24.anchors"


def make_detector(weights: Path) -> Find:
    """Ours, as a run uses it; or YOLOv5n as trained on COCO, which never saw a fused frame. TrainError if neither."""
    try:
        with safe_open(weights, "pt") as file:
            coco = COCO_HEAD in set(file.keys())
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{weights}: no weights of a detector ({error}); train them with `fusecam train`") from error
    if coco:
        from ..detector.teacher import CocoTeacher

        teacher = CocoTeacher("yolov5n.yaml", weights)
        return lambda image: teacher.find(image, LEAST)
    engine = DetectorEngine(weights)
    return lambda image: engine.find(image, LEAST)
