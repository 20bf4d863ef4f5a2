"""The detector from frame to raw boxes, as a torch module and as an OpenVINO model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from ..backends.openvino.ov import ov
from ..base import Pixels
from .parity import Raw
from .quiet import ultralytics
from .weights import DETECTOR_WEIGHTS, load_detector


class DetectorGraph(nn.Module):
    """The detector without non-maximum suppression, as Ultralytics exports it."""

    def __init__(self, weights: Path = DETECTOR_WEIGHTS) -> None:
        """weights: see `load_detector`. Raises EngineError as it does."""
        super().__init__()
        ultralytics()  # first import, without downloads and output
        self.detector = load_detector(weights)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (1, 3 or 4, H, W) float32 in [0, 1], H and W multiples of 32. Returns (1, 4 + classes, anchors)."""
        return cast(torch.Tensor, self.detector(images)[0])


class DetectorNetwork(DetectorGraph):
    """The detector with its preprocessing."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (1, H, W, 3 or 4) uint8. Otherwise as `DetectorGraph`."""
        return super().forward(images.permute(0, 3, 1, 2).float() / 255)

    def eager(self, image: Pixels) -> Raw:
        """Run in eager torch. image: (H, W, 3 or 4) uint8. Returns (4 + classes, anchors) float32."""
        with torch.inference_mode():
            return np.asarray(self(torch.from_numpy(image.copy())[None])[0].numpy())


def converted(network: DetectorNetwork, image: Pixels) -> ov.Model:
    """Convert the network to an OpenVINO model with the fixed input shape of `image`."""
    example = torch.from_numpy(image.copy())[None]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, but converts best
        network(example)  # computes the anchors for this size, which become constants
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, example_input=example)
    model.reshape({0: [1, *image.shape]})
    return model
