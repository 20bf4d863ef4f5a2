"""Compiles a network by name to a TensorRT-RTX engine file, with a sidecar that describes it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...calib.atomic import AtomicFile, atomic, write_atomic
from .. import registry
from ..base import EngineError
from ..build import store
from ..warp import Shape
from . import layers
from .build import TARGETS, Built, build, tensorrt_rtx
from .layers import Layer, Value

NOT_RUN = "built without a GPU: not run, and not compared with the network"


def parse_targets(text: str) -> list[str]:
    """Parse a comma-separated list of TARGETS. Returns them in their order, without duplicates. Raises EngineError."""
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [target for target in names if target not in TARGETS]
    if unknown or not names:
        known = ", ".join(f"{target} ({gpus})" for target, gpus in TARGETS.items())
        raise EngineError(f"--target {text}: unknown {', '.join(unknown) or 'empty list'}; known: {known}")
    return [target for target in TARGETS if target in names]


def compile_engine(
    name: str,
    shape: Shape,
    targets: Sequence[str],
    out: Path,
    on_step: Callable[[str], None] = lambda _: None,
    unlifted: bool = False,
) -> tuple[Built, dict[str, Any]]:
    """Build an engine, check its layers, and write it with its sidecar. Existing files are replaced only on success.

    Args:
        name: Of a fusion network.
        shape: Frame sizes, which are fixed in the engine.
        targets: From `parse_targets`.
        out: Engine file.
        on_step: Called with a description of each step when it begins.
        unlifted: Add the unlifted frame as an output, for a detector.

    Returns:
        The built engine, and the content of the sidecar.

    Raises:
        EngineError: The engine cannot be built or written. No file is then created or changed.
    """
    if name not in registry.NAMES:
        raise EngineError(f"--engine {name}: unknown name; known, alone: {', '.join(registry.NAMES)}")
    if unlifted and name not in registry.UNLIFTED:
        raise EngineError(f"--unlifted: {name} has no such frame; {' and '.join(registry.UNLIFTED)} have one")
    _check(out)
    on_step("loading torch and TensorRT-RTX")
    tensorrt_rtx()
    from .export import export

    began = time.perf_counter()
    on_step(f"exporting {name} to ONNX in half precision")
    module = registry.network(name, unlifted)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    onnx = export(name, module, shape)
    exported = time.perf_counter()
    on_step(f"building for {', '.join(targets)}")
    built = build(name, onnx, targets)
    done = time.perf_counter()
    branches = layers.branches(built.defined)
    description = {
        "engine": name,
        "parameters": parameters,
        "weights_sha256": store.digest_of(weights) if (weights := registry.weights(name)) else None,
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
        "layers": {"defined": _rows(built.defined, branches), "made": _rows(built.made, branches)},
    }
    _write(out, built.plan, json.dumps(description, indent=1) + "\n")
    return built, description


def _rows(described: Sequence[Layer], branches: layers.Branches) -> list[dict[str, Any]]:
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
        for layer in described
    ]


def _text(value: Value) -> str:
    """For example `HALF 1x3x480x640`."""
    return f"{value.dtype} {'x'.join(map(str, value.shape)) or '1'}"


def _sidecar(out: Path) -> Path:
    """Path of the sidecar of an engine file: FILE.json beside FILE."""
    return out.with_name(f"{out.name}.json")


def _check(out: Path) -> None:
    """Raise EngineError if the engine or its sidecar cannot be written. Leaves no files behind."""
    for target in (out, _sidecar(out)):
        if target.exists() and not target.is_file():
            raise EngineError(f"{target}: is a {'folder' if target.is_dir() else 'device'}; give --out a file's name")
    if not out.parent.is_dir():
        raise EngineError(f"{out.parent}: no such folder; create it, or give --out another path")
    AtomicFile(out, EngineError).discard()


def _write(out: Path, engine: bytes, description: str) -> None:
    """Write both files, replacing existing ones. Raises EngineError, with no file changed, if that fails.

    The sidecar contains the engine's SHA-256: after a crash between the two writes, the mismatch can be detected.
    """
    with atomic(_sidecar(out), EngineError) as described:
        described.file.write(description.encode())
        described.file.flush()  # both are on disk before either is replaced
        write_atomic(out, engine, EngineError)
