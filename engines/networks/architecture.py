"""Checks the architecture stored with a detector's weights, since anybody may have made the file.

Ultralytics looks the layers up by name among all that its module knows, evaluates activations as Python, and has layers
that download. So only these layers are let through, with plain arguments, of sizes that fit in a memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# fmt: off
LAYERS = frozenset((
    "Conv", "DWConv", "GhostConv", "ConvTranspose", "Focus", "Bottleneck", "GhostBottleneck", "BottleneckCSP", "C1",
    "C2", "C3", "C3x", "C3Ghost", "C3k2", "C2f", "C2fCIB", "C2PSA", "C2fPSA", "A2C2f", "RepC3", "RepNCSPELAN4",
    "ELAN1", "ADown", "AConv", "SPP", "SPPF", "SPPELAN", "SCDown", "PSA", "CBLinear", "CBFuse", "Concat", "Detect",
    "nn.Identity", "nn.Upsample", "nn.MaxPool2d", "nn.ZeroPad2d", "nn.ConvTranspose2d",
))
# fmt: on
WORDS = frozenset(("nc", "None", "True", "False", "nearest", "bilinear"))
"""Text that may stand among the arguments of a layer."""
KEYS = ("nc", "channels", "scales", "scale", "backbone", "head")
UNSUPPORTED = ("activation", "end2end")
"""Keys that would make another network, and are not kept with the weights."""
MOST_LAYERS, MOST_REPEATS, LARGEST = 200, 64, 4096


def checked(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with KEYS alone. ValueError, in one line, for what is not allowed."""
    if not isinstance(architecture, Mapping):
        raise ValueError("no architecture")
    for key in UNSUPPORTED:
        if architecture.get(key):
            raise ValueError(f"an architecture with {key}, which is not supported")
    plan = {key: architecture[key] for key in KEYS if architecture.get(key) is not None}
    for part in ("backbone", "head"):
        layers = plan.get(part)
        if not isinstance(layers, list) or not 0 < len(layers) <= MOST_LAYERS:
            raise ValueError(f"an architecture without a {part}, or with more than {MOST_LAYERS} layers in it")
        plan[part] = [_layer(layer) for layer in layers]
    if plan["head"][-1][2] != "Detect":
        raise ValueError("an architecture that does not end in Detect")
    scales = plan.get("scales", {})
    if not isinstance(scales, dict) or not all(isinstance(name, str) and _scale(scales[name]) for name in scales):
        raise ValueError("an architecture with scales that are not three numbers each")
    if "scale" in plan and (not isinstance(plan["scale"], str) or plan["scale"] not in scales):
        raise ValueError("an architecture with an unknown scale")
    if not _whole(plan.get("nc", 1), 1, LARGEST):
        raise ValueError("an architecture with an invalid number of classes")
    if not _whole(plan.get("channels", 3), 3, 4):
        raise ValueError("an architecture whose input has other than 3 or 4 channels")
    return plan


def _layer(layer: Any) -> list[Any]:
    if not isinstance(layer, list) or len(layer) != 4:
        raise ValueError("an architecture with a layer that is not [from, repeats, name, arguments]")
    source, repeats, name, arguments = layer
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(f"an architecture with a layer that is not allowed: {str(name)[:40]!r}")
    sources = source if isinstance(source, list) else [source]
    if not all(_whole(each, -MOST_LAYERS, MOST_LAYERS) for each in sources) or not _whole(repeats, 1, MOST_REPEATS):
        raise ValueError(f"an architecture with {name} and inputs or repeats that are not allowed")
    if not isinstance(arguments, list) or len(arguments) > 16 or not all(_argument(each) for each in arguments):
        raise ValueError(f"an architecture with {name} and arguments that are not allowed")
    return [source, repeats, name, list(arguments)]


def _argument(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 2 and len(value) <= 16 and all(_argument(each, depth + 1) for each in value)
    if isinstance(value, str):
        return value in WORDS
    return value is None or isinstance(value, bool) or _number(value)


def _scale(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_number(each) and each > 0 for each in value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
