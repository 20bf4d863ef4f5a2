"""Boxes for frames that have none: YOLOv5n as its authors trained it on COCO, with its own anchor head."""

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

from ...engines.base import Pixels
from .boxes import Boxes
from .network import start_network

_CLASSES = {0: 0, 1: 1, 2: 2, 5: 2, 7: 2}  # person, bicycle, car; bus and truck count as cars, as in MSRS
_STRIDES = (8, 16, 32)
_MOST = 300
Floats = npt.NDArray[np.float32]


class Teacher:
    """Finds people, bicycles and cars in sharp visible frames."""

    def __init__(self, architecture: str, weights: Path, confidence: float = 0.25) -> None:
        self.confidence = confidence
        network: Any = start_network(architecture, weights).eval()
        self._layers, self._kept = network.model[:-1], network.save
        self._head = {name: value.float() for name, value in load_file(weights).items() if ".24." in name}

    def boxes(self, image: Pixels) -> Boxes:
        """What it is sure of, as labels. image: (H, W, 3) uint8 RGB."""
        height, width = image.shape[:2]
        found = self.find(image, self.confidence, enlarge=1.5)
        x1, y1, x2, y2 = (found[:, :4] / [width, height, width, height]).T
        return np.stack([found[:, 5], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1).astype(np.float32)

    @torch.no_grad()
    def find(self, image: Pixels, confidence: float, enlarge: float = 1.0) -> Floats:
        """(N, 6) rows of x1, y1, x2, y2 in pixels, score, class, the best score first."""
        height, width = (max(32, round(side * enlarge / 32) * 32) for side in image.shape[:2])
        pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        found = self._decode(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
        score, kind = (found[:, 4:5] * found[:, 5:])[:, list(_CLASSES)].max(1)
        sure = score > confidence
        xywh, score = found[sure, :4], score[sure]
        label = torch.tensor(list(_CLASSES.values()))[kind[sure]]
        corners = torch.cat([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2], 1)
        kept = batched_nms(corners, score, label, 0.5)[:_MOST]
        side = torch.tensor([image.shape[1], image.shape[0]] * 2)
        corners = corners[kept] / torch.tensor([width, height] * 2) * side
        corners = corners.clamp(torch.zeros(4), side.float())
        return np.asarray(torch.cat([corners, score[kept, None], label[kept, None].float()], 1).numpy(), np.float32)

    def _decode(self, image: Tensor) -> Tensor:
        """(anchors, 85): x, y, width, height in pixels, objectness, 80 class scores."""
        features: list[Any] = []
        x: Any = image
        for layer in self._layers:
            if layer.f != -1:
                x = (
                    features[layer.f]
                    if isinstance(layer.f, int)
                    else [x if at == -1 else features[at] for at in layer.f]
                )
            x = layer(x)
            features.append(x if layer.i in self._kept else None)
        found = []
        for number, (at, stride) in enumerate(zip((17, 20, 23), _STRIDES, strict=True)):
            prefix = f"model.24.m.{number}."
            raw = torch.nn.functional.conv2d(features[at], self._head[prefix + "weight"], self._head[prefix + "bias"])
            _, _, h, w = raw.shape
            raw = raw.view(3, 85, h, w).permute(0, 2, 3, 1).sigmoid()
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            centre = (raw[..., :2] * 2 - 0.5 + torch.stack([columns, rows], -1)) * stride
            anchors = self._head["model.24.anchors"][number][:, None, None] * stride
            found.append(torch.cat([centre, (raw[..., 2:4] * 2) ** 2 * anchors, raw[..., 4:]], -1).reshape(-1, 85))
        return torch.cat(found)
