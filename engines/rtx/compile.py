"""From an engine's name to a TensorRT-RTX engine file with its sidecar."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import registry
from ..base import EngineError
from ..warp import Shape
from . import files, layers
from .build import TARGETS, Built, build, tensorrt_rtx
from .layers import Layer, Value

NOT_RUN = "built without a GPU: not run, and not compared with the network"


def parse_targets(text: str) -> list[str]:
    """Names of TARGETS from a list with commas, each once, in TARGETS' order. EngineError for an unknown one."""
    asked = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [target for target in asked if target not in TARGETS]
    if unknown or not asked:
        known = ", ".join(f"{target} ({what})" for target, what in TARGETS.items())
        raise EngineError(f"--target {text}: unknown {', '.join(unknown) or 'empty list'}; known: {known}")
    return [target for target in TARGETS if target in asked]


def compile_engine(
    name: str,
    shape: Shape,
    targets: Sequence[str],
    out: Path,
    tell: Callable[[str], None] = lambda _: None,
    unlifted: bool = False,
) -> tuple[Built, dict[str, Any]]:
    """Build, check, and write `out` and its sidecar; what stood there before is replaced only by an engine that passed.

    name: one of the fusion networks. shape: of the frames, which the engine then takes alone. targets:
    from `parse_targets`. tell: called with each step as it begins. unlifted: with the frame without lift, for a
    detector. Returns what was built and the sidecar's content.
    EngineError for all that can go wrong; no file is then left behind or changed.
    """
    if name not in registry.NAMES:
        raise EngineError(f"--engine {name}: unknown name; known, alone: {', '.join(registry.NAMES)}")
    if unlifted and name not in registry.UNLIFTED:
        raise EngineError(f"--unlifted: {name} has no such frame; {' and '.join(registry.UNLIFTED)} have one")
    files.check(out)
    tell("loading torch and TensorRT-RTX")
    tensorrt_rtx()
    from .export import export

    began = time.perf_counter()
    tell(f"exporting {name} to ONNX in half precision")
    module = registry.network(name, unlifted)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    onnx = export(name, module, shape)
    exported = time.perf_counter()
    tell(f"building for {', '.join(targets)}")
    built = build(name, onnx, targets)
    done = time.perf_counter()
    branches = layers.branches(built.defined)
    description = {
        "engine": name,
        "parameters": parameters,
        "weights_sha256": weights_hash(name),
        "onnx_sha256": hashlib.sha256(onnx).hexdigest(),
        "engine_sha256": hashlib.sha256(built.plan).hexdigest(),
        "engine_bytes": len(built.plan),
        "width": shape.width,
        "height": shape.height,
        "infrared": {"width": shape.infrared[0], "height": shape.infrared[1], "reduce": shape.reduce},
        "targets": list(targets),
        "inputs": [value._asdict() for value in built.inputs],
        "outputs": [value._asdict() for value in built.outputs],
        "versions": {"fusecam": version("fusecam"), "torch": version("torch"), "tensorrt_rtx": built.version},
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {"export": round(exported - began, 2), "build": round(done - exported, 2)},
        "verified": NOT_RUN,
        "precisions": {"defined": layers.precisions(built.defined), "made": layers.precisions(built.made)},
        "layers": {
            "defined": _rows(built.defined, branches),
            "made": _rows(built.made, branches),
        },
    }
    files.write(out, built.plan, json.dumps(description, indent=1) + "\n")
    return built, description


def weights_hash(name: str) -> str | None:
    """SHA-256 of a network's file of weights, None for a network without weights."""
    weights = registry.weights(name)
    return hashlib.sha256(weights[0].read_bytes()).hexdigest() if weights else None


def _rows(found: Sequence[Layer], branches: layers.Branches) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "precision": layer.precision,
            "outputs": [_text(value) for value in layer.outputs],
            "scratch": [_text(value) for value in layer.scratch],
            "branches": layers.on(layer, branches),
            "origin": list(layer.origin),
        }
        for layer in found
    ]


def _text(value: Value) -> str:
    return f"{value.dtype} {'x'.join(map(str, value.shape)) or '1'}"
