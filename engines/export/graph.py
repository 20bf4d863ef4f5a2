"""Export of a torch module to an ONNX model with fixed shapes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base import EngineError, one_line

_LARGEST_FOLDED = 1 << 28
"""Maximum elements of a folded constant; larger than the default, so that interpolation matrices are folded."""


def export_model(
    name: str,
    module: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int | None = None,
) -> Any:
    """Export a module to an `onnx_ir.Model`, not yet optimised.

    module: in evaluation mode. examples: one tensor for each input, which sets its shape and dtype. inputs, outputs:
    their names. opset: version of the ONNX operators; None: the exporter's default. Raises EngineError where ONNX lacks
    an operator.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                verbose=False,
                input_names=inputs,
                output_names=outputs,
                opset_version=opset,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise EngineError(f"{name}: cannot be exported to ONNX: {one_line(error.__cause__ or error)}") from error
    assert program is not None
    return program.model


def optimise(model: Any) -> Any:
    """Fold and deduplicate constants, and remove metadata, which contain local paths. Changes and returns the model."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass, DeduplicateInitializersPass
    from onnxscript import optimizer

    optimizer.fold_constants(model, input_size_limit=_LARGEST_FOLDED, output_size_limit=_LARGEST_FOLDED)
    optimizer.remove_unused_nodes(model)
    DeduplicateInitializersPass(size_limit=_LARGEST_FOLDED)(model)  # each filter has its own copy of the matrices
    ClearMetadataAndDocStringPass()(model)
    return model


def serialize(model: Any) -> bytes:
    """Serialise a model to the bytes of an ONNX file."""
    from onnx_ir import serde

    return bytes(serde.serialize_model(model).SerializeToString())
