"""The detector's network at the start of its training."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...engines.detection.quiet import ultralytics
from ...engines.detector import build_detector
from ..errors import TrainError


def start_network(architecture: str, start: Path | None) -> torch.nn.Module:
    """Ultralytics' network of that name for three classes, with those tensors of `start` that fit."""
    try:
        network = build_detector(ultralytics("ultralytics.nn.tasks").yaml_model_load(architecture))
    except (OSError, KeyError, TypeError) as error:
        raise TrainError(f"detector.architecture: {architecture}: no network that Ultralytics ships") from error
    if start is None:
        return network
    try:
        given = load_file(start)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{start}: not weights to start from: {' '.join(str(error).split())}") from error
    own = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise TrainError(f"{start}: no tensor of {architecture} in it; start from weights of the same architecture")
    network.load_state_dict(own | fitting)
    return network
