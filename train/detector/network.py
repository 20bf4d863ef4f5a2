"""Initialisation of the detector network for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...engines.detection.quiet import ultralytics
from ...engines.detection.weights import DETECTOR_NAMES, build_detector, detector_names
from ..errors import TrainError

_FIRST = "model.0.conv.weight"
_SCORES = ".cv3."  # branch of Ultralytics' Detect that scores the classes


def start_network(
    architecture: str,
    start: Path | None,
    whole: bool = False,
    names: Sequence[str] = tuple(DETECTOR_NAMES.values()),
    channels: int = 3,
) -> torch.nn.Module:
    """Build an Ultralytics network and initialise it with the tensors of `start` whose name and shape match.

    architecture: name of an Ultralytics model file. start: safetensors; if `fusecam train` wrote them, classes of the
    same name keep their learned weights. whole: require a match for every tensor. names: classes in order. channels:
    3 or 4; weights for RGB are extended to a fourth channel by the mean of the three, all scaled by 3/4, so that the
    response to gray is unchanged. Raises TrainError.
    """
    try:
        plan = ultralytics("ultralytics.nn.tasks").yaml_model_load(architecture) | {"channels": channels}
        network = build_detector(plan, dict(enumerate(names)))
    except (OSError, KeyError, TypeError) as error:
        raise TrainError(f"detector.architecture: {architecture}: no network that Ultralytics ships") from error
    except ValueError as error:
        raise TrainError(f"detector.architecture: {architecture}: {error}") from error
    if start is None:
        if whole:
            raise TrainError("detector.keep: needs detector.start, weights by `fusecam train`")
        return network
    try:
        tensors = load_file(start)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{start}: not weights to start from: {' '.join(str(error).split())}") from error
    own = network.state_dict()
    tensors |= _match_classes(tensors, own, list(detector_names(start).values()), names)
    if channels == 4 and (first := tensors.get(_FIRST)) is not None and first.shape[1] == 3:
        tensors[_FIRST] = torch.cat([first, first.mean(1, keepdim=True)], 1) * 0.75
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise TrainError(f"{start}: no tensor of {architecture} in it; start from weights of the same architecture")
    if whole and len(fitting) < len(own):
        raise TrainError(f"{start}: detector.keep: not weights of this detector; start from weights by `fusecam train`")
    network.load_state_dict(own | fitting)
    return network


def _match_classes(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], known: Sequence[str], names: Sequence[str]
) -> dict[str, Tensor]:
    """Classification layers of the new network, with the rows of the classes in `known` copied from `tensors`.

    own: state of the new network. known: classes of `tensors`. names: classes of the new network.
    """
    matched = {}
    for name, value in tensors.items():
        target = own.get(name)
        if target is None or _SCORES not in name or not value.ndim:
            continue
        if len(value) == len(known) and len(target) == len(names):
            matched[name] = target.clone()
            for row, label in enumerate(names):
                if label in known:
                    matched[name][row] = value[known.index(label)].to(target)
    return matched
