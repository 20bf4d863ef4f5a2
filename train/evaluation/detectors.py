"""Detectors as functions from a frame to detections, loaded from weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ...engines.base import Pixels
from ...engines.detection import DetectorEngine
from ..errors import TrainError
from .detection import LEAST, Floats

Find = Callable[[Pixels], Floats]
"""Maps (H, W, 3) uint8 RGB, or (H, W, 4) with infrared, to (N, 6): x1, y1, x2, y2 in pixels, score >= LEAST, class."""
COCO_HEAD = "model.24.anchors"


def make_detector(weights: Path) -> Find:
    """Load a fusecam detector, or YOLOv5n with its original COCO head. Raises TrainError for other files."""
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
