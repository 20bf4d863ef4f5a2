"""Weights of the detector, and its network: Ultralytics' model built from its architecture, without unpickling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...calib.atomic import write_atomic
from ..base import EngineError, one_line
from ..host.textfiles import what_text
from ..networks.architecture import checked
from ..networks.checkpoints import halved

if TYPE_CHECKING:
    import torch

DETECTOR_NAMES = {0: "person", 1: "bicycle", 2: "car"}
"""Classes of the shipped weights, and of weights without class names."""
DETECTOR_WEIGHTS = Path(__file__).parents[1] / "weights" / "detector.safetensors"
_ARCHITECTURE, _NAMES = "architecture", "names"
MOST_CLASSES = 1000


def load_detector(weights: Path = DETECTOR_WEIGHTS) -> torch.nn.Module:
    """Load Ultralytics' DetectionModel in float32, in evaluation mode, with batch norms not fused.

    Its input is (N, 3, H, W) RGB in [0, 1], H and W multiples of 32; if its `yaml` has four `channels`, infrared is the
    fourth. It returns a tuple whose first item is (N, 4 + classes, anchors): centre x, y, width, height in input
    pixels, then a score in [0, 1] for each of its `names`.

    Args:
        weights: safetensors with the architecture as YAML in the metadata, as `fusecam train` writes them.

    Raises:
        EngineError: The weights cannot be used.
    """
    from safetensors import SafetensorError, safe_open

    if text := what_text(weights):
        raise EngineError(f"{weights}: {text}")
    try:
        with safe_open(weights, "pt") as file:
            metadata = file.metadata() or {}
            architecture = yaml.safe_load(metadata[_ARCHITECTURE])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        network = build_detector(architecture, _names(metadata))
        network.load_state_dict(state)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError, yaml.YAMLError) as error:
        reason = one_line(error, 120)
        raise EngineError(f"{weights}: no weights of a detector ({reason}); train them with `fusecam train`") from error
    return network.eval()


def detector_names(weights: Path) -> dict[int, str]:
    """Class names by class index, without torch. Raises EngineError if the file cannot be used."""
    return _described(weights)[0]


def detector_channels(weights: Path) -> int:
    """Input channels: 3, or 4 for RGB and registered infrared. Raises EngineError if the file cannot be used."""
    return _described(weights)[1]


def _described(weights: Path) -> tuple[dict[int, str], int]:
    """Class names by class index, and input channels."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "numpy") as file:
            metadata = file.metadata() or {}
        plan = yaml.safe_load(metadata.get(_ARCHITECTURE, ""))
        return _names(metadata), checked(plan).get("channels", 3) if plan else 3
    except (OSError, SafetensorError, ValueError, yaml.YAMLError) as error:
        reason = one_line(error, 120)
        raise EngineError(f"{weights}: no weights of a detector ({reason}); train them with `fusecam train`") from error


def _names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Class names from metadata. Raises ValueError, see `check_names`."""
    if _NAMES not in metadata:
        return dict(DETECTOR_NAMES)
    names = json.loads(metadata[_NAMES])
    if isinstance(names, dict):  # by class index, as in Ultralytics
        names = [names.get(str(number)) for number in range(len(names))]
    check_names(names)
    return dict(enumerate(names))


def check_names(names: Any) -> None:
    """Raise ValueError unless weights may have these class names."""
    valid = isinstance(names, list) and all(isinstance(n, str) and n.isprintable() and 0 < len(n) <= 64 for n in names)
    if not valid or not 0 < len(names) == len(set(names)) <= MOST_CLASSES:
        raise ValueError("invalid class names: give different ones of 1 to 64 printable characters")


def save_detector(network: torch.nn.Module, weights: Path) -> None:
    """Write weights for `load_detector` atomically, see `checkpoints.halved`."""
    from safetensors.torch import save

    architecture: Any = network.yaml
    text = yaml.safe_dump(checked(architecture), default_flow_style=None, sort_keys=False)
    names: Any = network.names
    write_atomic(weights, save(halved(network), {_ARCHITECTURE: text, _NAMES: json.dumps(list(names.values()))}))


def build_detector(architecture: Mapping[str, Any], names: Mapping[int, str] = DETECTOR_NAMES) -> torch.nn.Module:
    """Build a DetectionModel with random weights.

    Args:
        architecture: As in Ultralytics' model YAML, with allowed layers and arguments only.
        names: Class names by class index.

    Raises:
        ValueError: The architecture is not allowed, or its layers do not fit together.
    """
    from .quiet import guarded, ultralytics

    plan = checked(architecture) | {"nc": len(names)}
    with guarded():
        try:
            model = ultralytics("ultralytics.nn.tasks").DetectionModel
            network: torch.nn.Module = model(plan, ch=plan.get("channels", 3), verbose=False)
        except Exception as error:  # torch raises many types for inconsistent layers
            reason = one_line(error, 120)
            raise ValueError(f"its layers do not fit together: {type(error).__name__}: {reason}") from error
    network.names = dict(names)  # type: ignore[assignment]
    return network
