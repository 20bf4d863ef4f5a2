"""The detector from frame to raw boxes, as a torch module and as an OpenVINO model."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..backends.openvino.ov import ov
from ..base import Pixels
from .parity import Raw
from .quiet import ultralytics
from .weights import load_detector


class DetectorNetwork(nn.Module):
    """The detector with its preprocessing, without non-maximum suppression."""

    def __init__(self, weights: Path) -> None:
        """weights: see `load_detector`. Raises EngineError as it does."""
        super().__init__()
        ultralytics()  # first import, without downloads and output
        self.detector = load_detector(weights)
        self.eval()

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """frame: (1, H, W, 3 or 4) uint8, H and W multiples of 32. Returns (1, 4 + classes, anchors)."""
        raw: torch.Tensor = self.detector(frame.permute(0, 3, 1, 2).float() / 255)[0]
        return raw

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
