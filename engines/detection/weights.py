"""The detector's weights, and the network they fill: Ultralytics' own, built from its architecture, not unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...calib.atomic import write_atomic
from ..base import EngineError
from ..host.textfiles import what_text
from ..networks.architecture import checked

if TYPE_CHECKING:
    import torch

DETECTOR_NAMES = {0: "person", 1: "bicycle", 2: "car"}
"""Classes of the shipped weights, and of those that name none."""
DETECTOR_WEIGHTS = Path(__file__).parents[1] / "weights" / "detector.safetensors"
_ARCHITECTURE, _NAMES = "architecture", "names"
MOST_CLASSES = 1000


def load_detector(weights: Path = DETECTOR_WEIGHTS) -> torch.nn.Module:
    """Ultralytics' DetectionModel in float32, in evaluation mode, convolutions and batch norms not yet fused.

    Its input is (N, 3, H, W) RGB in [0, 1], H and W multiples of 32, with infrared as a fourth channel where its
    `yaml` has four `channels`; evaluated, it returns a tuple whose first item is
    (N, 4 + classes, anchors): x, y, width, height in input pixels, then a score in [0, 1] for each of its `names`.
    weights: safetensors with the architecture as YAML in their metadata, as `fusecam train` writes them.
    Raises EngineError where they cannot be used.
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
        reason = " ".join(str(error).split())[:120]
        raise EngineError(f"{weights}: no weights of a detector ({reason}); train them with `fusecam train`") from error
    return network.eval()


def detector_names(weights: Path) -> dict[int, str]:
    """Class names by their numbers, without torch. Raises EngineError where the file cannot be used."""
    return _described(weights)[0]


def detector_channels(weights: Path) -> int:
    """3 for a detector of one frame, 4 for one of RGB and registered infrared. Raises EngineError as above."""
    return _described(weights)[1]


def _described(weights: Path) -> tuple[dict[int, str], int]:
    """Class names by their numbers, and input channels."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "numpy") as file:
            metadata = file.metadata() or {}
        plan = yaml.safe_load(metadata.get(_ARCHITECTURE, ""))
        return _names(metadata), checked(plan).get("channels", 3) if plan else 3
    except (OSError, SafetensorError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EngineError(f"{weights}: no weights of a detector ({reason}); train them with `fusecam train`") from error


def _names(metadata: Mapping[str, str]) -> dict[int, str]:
    """ValueError for what cannot stand in a line or a box."""
    if _NAMES not in metadata:
        return dict(DETECTOR_NAMES)
    names = json.loads(metadata[_NAMES])
    if isinstance(names, dict):  # as Ultralytics has them, by number
        names = [names.get(str(number)) for number in range(len(names))]
    fit = isinstance(names, list) and all(isinstance(n, str) and n.isprintable() and 0 < len(n) <= 64 for n in names)
    if not fit or not 0 < len(names) == len(set(names)) <= MOST_CLASSES:
        raise ValueError("names of classes that are none")
    return dict(enumerate(names))


def save_detector(network: torch.nn.Module, weights: Path) -> None:
    """Write what `load_detector` reads, whole or not at all: fp16, but for batch norms, which divide by theirs."""
    import torch
    from safetensors.torch import save

    norms = tuple(f"{name}." for name, part in network.named_modules() if isinstance(part, torch.nn.BatchNorm2d))
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    for name, value in state.items():
        if value.is_floating_point() and not name.startswith(norms):
            state[name] = value.half()
    architecture: Any = network.yaml
    text = yaml.safe_dump(checked(architecture), default_flow_style=None, sort_keys=False)
    names: Any = network.names
    write_atomic(weights, save(state, {_ARCHITECTURE: text, _NAMES: json.dumps(list(names.values()))}))


def build_detector(architecture: Mapping[str, Any], names: Mapping[int, str] = DETECTOR_NAMES) -> torch.nn.Module:
    """A DetectionModel of these classes with random weights. architecture: as in Ultralytics' model YAML, of layers and
    arguments that are known to be harmless. ValueError for any other.
    """
    from .quiet import guarded, ultralytics

    plan = checked(architecture) | {"nc": len(names)}
    with guarded():
        try:
            model = ultralytics("ultralytics.nn.tasks").DetectionModel
            network: torch.nn.Module = model(plan, ch=plan.get("channels", 3), verbose=False)
        except Exception as error:  # layers that do not fit together fail in many ways
            reason = " ".join(str(error).split())[:120]
            raise ValueError(f"its layers do not fit together: {type(error).__name__}: {reason}") from error
    network.names = dict(names)  # type: ignore[assignment]
    return network
