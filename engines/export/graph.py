"""A torch module as an ONNX model of fixed shapes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base import EngineError

_LARGEST_FOLDED = 1 << 28
"""Elements of a constant: the interpolation matrices are to be folded too, which is not the default."""


def traced(
    name: str,
    module: nn.Module,
    given: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int | None = None,
) -> Any:
    """The module as an `onnx_ir.Model`, as the exporter writes it.

    Args:
        name: of the network, for the error.
        module: in evaluation mode.
        given: one tensor for each input, of the shape and type that it will have.
        inputs: their names.
        outputs: names of what the module returns.
        opset: version of ONNX' operators; None: the exporter's own.

    Raises:
        EngineError: for an operator that ONNX does not have.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                module,
                given,
                dynamo=True,
                verbose=False,
                input_names=inputs,
                output_names=outputs,
                opset_version=opset,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise EngineError(f"{name}: cannot be exported to ONNX: {reason}") from error
    assert program is not None
    return program.model


def tidied(model: Any) -> Any:
    """The same model with constants folded, each once, and without the paths of this machine."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass, DeduplicateInitializersPass
    from onnxscript import optimizer

    optimizer.fold_constants(model, input_size_limit=_LARGEST_FOLDED, output_size_limit=_LARGEST_FOLDED)
    optimizer.remove_unused_nodes(model)
    DeduplicateInitializersPass(size_limit=_LARGEST_FOLDED)(model)  # every filter brings its matrices along
    ClearMetadataAndDocStringPass()(model)
    return model


def serialized(model: Any) -> bytes:
    """The bytes of an ONNX file."""
    from onnx_ir import serde

    return bytes(serde.serialize_model(model).SerializeToString())
