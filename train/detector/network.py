"""The detector's network at the start of its training."""

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
    """Ultralytics' network of that name for these classes, with those tensors of `start` that fit; of a start by
    `fusecam train` each class that both know keeps what it had learned. Of a start for RGB a fourth input channel gets
    the mean of the three, and all of them three quarters: grey gives what it gave.

    whole: whether all must be there and fit. Raises TrainError.
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
            raise TrainError("detector.keep: of what? name detector.start, weights by `fusecam train`")
        return network
    try:
        given = load_file(start)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{start}: not weights to start from: {' '.join(str(error).split())}") from error
    own = network.state_dict()
    given |= _of_classes(given, own, list(detector_names(start).values()), names)
    if channels == 4 and (first := given.get(_FIRST)) is not None and first.shape[1] == 3:
        given[_FIRST] = torch.cat([first, first.mean(1, keepdim=True)], 1) * 0.75
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise TrainError(f"{start}: no tensor of {architecture} in it; start from weights of the same architecture")
    if whole and len(fitting) < len(own):
        raise TrainError(f"{start}: detector.keep: not weights of this detector; start from some by `fusecam train`")
    network.load_state_dict(own | fitting)
    return network


def _of_classes(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], known: Sequence[str], names: Sequence[str]
) -> dict[str, Tensor]:
    """The layers with a row for each class: `own`, with the rows of the classes that are known."""
    taken = {}
    for name, value in given.items():
        to = own.get(name)
        if to is not None and _SCORES in name and value.ndim and len(value) == len(known) and len(to) == len(names):
            taken[name] = to.clone()
            for at, called in enumerate(names):
                if called in known:
                    taken[name][at] = value[known.index(called)].to(to)
    return taken
