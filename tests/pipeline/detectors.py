"""Detectors for the tests: small ones of random weights that are sure of themselves, so that they find boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from fusecam.engines.detection.quiet import ultralytics
from fusecam.engines.detection.weights import build_detector, save_detector
from fusecam.pipeline.core.frames import Pixels

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

SMALL = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[2, 3, 4], 1, {head}, [nc]]
"""


def make_sure(network: torch.nn.Module, image: Pixels) -> None:
    """Give a network of random weights the statistics of one image, and class scores far from one another."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the statistics of one batch, so that layers do not fade out
    with torch.no_grad():
        network.train()(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    for branch in getattr(network.model[-1], "cv3", []):  # type: ignore[index]
        branch[-1].weight.data *= 5
        branch[-1].bias.data.zero_()
    network.eval()


def own_weights(path: Path) -> Path:
    """Weights for fusecam's own detector, as `fusecam train` writes them."""
    ultralytics()
    torch.manual_seed(0)
    network = build_detector(
        yaml.safe_load(SMALL.format(head="Detect")) | {"scales": {"n": [1.0, 1.0, 1024]}, "scale": "n"}
    )
    make_sure(network, street_scene(320, 256))
    save_detector(network, path)
    return path


def street_scene(width: int, height: int, scene: str = "fog_day") -> Pixels:
    """A frame of the sample clips, with people and cars, at this size: (height, width, 3) uint8 RGB."""
    clip = cv2.VideoCapture(str(SAMPLES / f"{scene}_vis.mp4"))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 90)
    image = cv2.cvtColor(clip.read()[1], cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
