"""Pseudo-labels from a trained detector (the teacher) for frames without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import batched_nms

from ...engines import EngineError
from ...engines.base import Pixels
from ...engines.detection import DetectorEngine
from ..errors import TrainError, as_train_error
from ..metrics import rgb
from .boxes import Boxes, of_corners
from .network import start_network

_CLASSES = {0: 0, 1: 1, 2: 2, 5: 2, 7: 2}  # person, bicycle, car; bus and truck count as cars, as in MSRS
_STRIDES = (8, 16, 32)
_MOST = 300
_SURE_OWN, _SURE_COCO = 0.35, 0.25  # score thresholds of the pseudo-labels
Floats = npt.NDArray[np.float32]


class OwnTeacher:
    """Labels with a detector by `fusecam train`. Raises TrainError for unusable weights."""

    def __init__(self, weights: Path) -> None:
        if weights.suffix != ".safetensors":
            raise TrainError(f"{weights}: detector.teacher: give weights.safetensors of a detector by `fusecam train`")
        with as_train_error(EngineError, "detector.teacher: "):
            self._engine = DetectorEngine(weights)

    def label(self, visible: Pixels, infrared: Pixels, fused: Pixels) -> dict[str, Boxes]:
        """Boxes for each kind of frame; fused frames get the detections of fused and infrared, merged by NMS.

        visible, fused: (H, W, 3) uint8 RGB. infrared: (H, W) uint8, registered.
        """
        height, width = infrared.shape
        found = {"visible": self._find(visible), "infrared": self._find(rgb(infrared))}
        both = torch.from_numpy(np.concatenate([self._find(fused), found["infrared"]]))
        found["fused"] = both[batched_nms(both[:, :4], both[:, 4], both[:, 5], 0.5)].numpy()
        return {kind: _boxes(rows, width, height) for kind, rows in found.items()}

    def _find(self, image: Pixels) -> Floats:
        """Detect in the frame, upscaled by an integer to about 640 pixels width; boxes in pixels of the frame."""
        times = max(1, round(640 / image.shape[1]))
        larger = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        rows = self._engine.find(np.asarray(larger, np.uint8), _SURE_OWN)
        rows[:, :4] /= times
        return rows


class CocoTeacher:
    """The original YOLOv5n with its anchor head, trained on COCO; for sharp visible frames."""

    def __init__(self, architecture: str, weights: Path) -> None:
        network: Any = start_network(architecture, weights).eval()
        self._layers, self._saved = network.model[:-1], network.save
        self._head = {name: value.float() for name, value in load_file(weights).items() if ".24." in name}

    def label(self, visible: Pixels, infrared: Pixels, fused: Pixels) -> dict[str, Boxes]:
        """As `OwnTeacher.label`, by the detections in the visible frame for all kinds."""
        boxes = _boxes(self.find(visible, _SURE_COCO, enlarge=1.5), *visible.shape[1::-1])
        return {"fused": boxes, "visible": boxes, "infrared": boxes}

    @torch.no_grad()
    def find(self, image: Pixels, confidence: float, enlarge: float = 1.0) -> Floats:
        """Detect in a frame, (H, W, 3) uint8 RGB.

        confidence: score threshold. enlarge: factor by which the frame is resized for the network. Returns (N, 6)
        float32: x1, y1, x2, y2 in pixels, score, class, sorted by descending score.
        """
        height, width = (max(32, round(side * enlarge / 32) * 32) for side in image.shape[:2])
        pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        rows = self._decode(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
        score, kind = (rows[:, 4:5] * rows[:, 5:])[:, list(_CLASSES)].max(1)
        sure = score > confidence
        xywh, score = rows[sure, :4], score[sure]
        label = torch.tensor(list(_CLASSES.values()))[kind[sure]]
        corners = torch.cat([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2], 1)
        best = batched_nms(corners, score, label, 0.5)[:_MOST]
        side = torch.tensor([image.shape[1], image.shape[0]] * 2)
        corners = corners[best] / torch.tensor([width, height] * 2) * side
        corners = corners.clamp(torch.zeros(4), side.float())
        return np.asarray(torch.cat([corners, score[best, None], label[best, None].float()], 1).numpy(), np.float32)

    def _decode(self, image: Tensor) -> Tensor:
        """Run the network; returns (anchors, 85): centre x, centre y, width, height in pixels, objectness, scores."""
        features: list[Any] = []
        x: Any = image
        for layer in self._layers:
            if isinstance(layer.f, int):
                x = x if layer.f == -1 else features[layer.f]
            else:
                x = [x if at == -1 else features[at] for at in layer.f]
            x = layer(x)
            features.append(x if layer.i in self._saved else None)
        outputs = []
        for number, (at, stride) in enumerate(zip((17, 20, 23), _STRIDES, strict=True)):
            prefix = f"model.24.m.{number}."
            raw = torch.nn.functional.conv2d(features[at], self._head[prefix + "weight"], self._head[prefix + "bias"])
            _, _, h, w = raw.shape
            raw = raw.view(3, 85, h, w).permute(0, 2, 3, 1).sigmoid()
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            centre = (raw[..., :2] * 2 - 0.5 + torch.stack([columns, rows], -1)) * stride
            anchors = self._head["model.24.anchors"][number][:, None, None] * stride
            outputs.append(torch.cat([centre, (raw[..., 2:4] * 2) ** 2 * anchors, raw[..., 4:]], -1).reshape(-1, 85))
        return torch.cat(outputs)


Teacher = OwnTeacher | CocoTeacher
"""Labels pairs."""


def _boxes(detections: Floats, width: int, height: int) -> Boxes:
    """Convert detections (n, 6) to boxes."""
    return of_corners(detections[:, 5], detections[:, :4], width, height)
