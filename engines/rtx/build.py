"""Builds a TensorRT-RTX engine from ONNX; no GPU is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..base import EngineError, one_line
from . import layers
from .layers import Layer, Value

TARGETS = {
    "sm75": "GeForce RTX 20, GTX 16, T4",
    "sm80": "A100",
    "sm86": "GeForce RTX 30",
    "sm89": "GeForce RTX 40, L4",
    "sm120": "GeForce RTX 50",
    "sm121": "GB10 (DGX Spark)",
}
"""Compute capabilities that TensorRT-RTX builds for, with examples of GPUs."""
INSTALL = "pip install 'fusecam[tensorrt-rtx]'"


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A built engine.

    Attributes:
        plan: Serialised engine.
        defined: Layers of the parsed network.
        made: Layers of the built engine.
        inputs, outputs: Of the engine.
        version: Of TensorRT-RTX.
    """

    plan: bytes
    defined: list[Layer]
    made: list[Layer]
    inputs: list[Value]
    outputs: list[Value]
    version: str


def tensorrt_rtx() -> ModuleType:
    """Import TensorRT-RTX. Raises EngineError, with the packages to install, if it or the ONNX exporter is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import tensorrt_rtx
    except ImportError as error:
        raise EngineError(f"compile needs TensorRT-RTX and ONNX ({error}): {INSTALL}") from error
    return tensorrt_rtx  # type: ignore[no-any-return]


def build(name: str, onnx: bytes, targets: Sequence[str]) -> Built:
    """Build one engine for all targets, strongly typed: tensors keep their precision.

    Args:
        name: Of the network, for messages.
        onnx: Serialised ONNX model.
        targets: Keys of TARGETS.

    Raises:
        EngineError: An operator is not supported, or a layer is refused (`layers.refusals`); names the layer.
    """
    trt = tensorrt_rtx()
    log = _logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        reasons = "; ".join(f"{e.node_name()} ({e.node_operator()}): {one_line(e.desc())}" for e in errors)
        raise EngineError(f"{name}: TensorRT-RTX does not support {reasons}")
    defined = layers.defined(network)
    branches = layers.branches(defined)
    _refuse(name, layers.refusals(defined, branches))

    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = one_line("; ".join(log.errors)) or "no reason given"
        raise EngineError(f"{name}: TensorRT-RTX cannot build it: {reason}")
    outputs = [Value.of(network.get_output(index)) for index in range(network.num_outputs)]
    made = layers.built(log.report, [output.name for output in outputs], defined)
    _refuse(name, layers.refusals(made, branches))
    inputs = [Value.of(network.get_input(index)) for index in range(network.num_inputs)]
    return Built(bytes(plan), defined, made, inputs, outputs, trt.__version__)


def _refuse(name: str, lines: list[str]) -> None:
    """Raise EngineError if there are refusals."""
    if lines:
        rest = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise EngineError(f"{name}: not built, not all of it is half precision: {'; '.join(lines[:5])}{rest}")


def _logger(trt: ModuleType) -> Any:
    """A logger that stores errors and the layer report, and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.report = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            if message.startswith("Layers:\n"):
                self.report += message.removeprefix("Layers:\n")

    return Log()
