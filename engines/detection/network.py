"""The detector from frame to raw boxes as one torch module, and as OpenVINO's model of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..backends.ov import ov
from ..base import Pixels
from .parity import Raw
from .quiet import ultralytics
from .weights import load_detector


class Whole(nn.Module):
    """uint8 frames in, (1, H, W, 3 or 4), H and W multiples of 32; out (1, 4 + classes, anchors), for `suppress`."""

    def __init__(self, weights: Path) -> None:
        """weights: as `load_detector` takes them; EngineError where they are none."""
        super().__init__()
        ultralytics()  # imported here first, so that it stays quiet
        self.detector = load_detector(weights)
        self.eval()

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """See the class."""
        raw: torch.Tensor = self.detector(frame.permute(0, 3, 1, 2).float() / 255)[0]
        return raw

    def eager(self, image: Pixels) -> Raw:
        """Run by torch as it is written: (H, W, 3 or 4) uint8 in, (4 + classes, anchors) out."""
        with torch.inference_mode():
            return np.asarray(self(torch.from_numpy(image.copy())[None])[0].numpy())


def converted(network: Whole, image: Pixels) -> ov.Model:
    """The network as an OpenVINO model for frames of the size of `image` alone."""
    example = torch.from_numpy(image.copy())[None]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, and what openvino reads best
        network(example)  # lays out the anchors of this size, which tracing then takes as they are
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, example_input=example)
    model.reshape({0: [1, *image.shape]})
    return model
