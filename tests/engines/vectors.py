"""What the authors' networks return for reproducible weights and inputs: tests/conformance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from fusecam.engines.networks.io import Network
from fusecam.engines.networks.smoothing import CONTROLS

from ..conformance import fill

FOLDER = Path(__file__).parents[1] / "conformance"


def state(name: str) -> dict[str, torch.Tensor]:
    """The filled checkpoint of NAME.json, by the authors' names."""
    return {key: torch.from_numpy(np.asarray(value)) for key, value in fill.state(FOLDER / f"{name}.json").items()}


def parameters(name: str) -> int:
    """How many parameters the authors' network has."""
    return json.loads((FOLDER / f"{name}.json").read_text())["parameters"]


def golden(name: str) -> dict[str, torch.Tensor]:
    """Inputs and outputs of NAME.npz, one batch item each."""
    return {key: torch.from_numpy(value)[None] for key, value in np.load(FOLDER / f"{name}.npz").items()}


def run(network: Network, *frames: np.ndarray, dehaze: float = -1.0, lift: float = -1.0) -> list[np.ndarray]:
    """The four uint8 outputs of a network's `forward` for visible, infrared and coverage of one pair."""
    controls = torch.zeros(CONTROLS)
    controls[0], controls[1] = dehaze, lift
    given = (torch.from_numpy(np.ascontiguousarray(frame))[None] for frame in frames)
    with torch.inference_mode():
        *outputs, state = network(*given, controls)
    assert state.isfinite().all()
    assert all(output.dtype == torch.uint8 for output in outputs)
    return [output[0].numpy() for output in outputs]
