"""Converters that Torch-TensorRT 2.14 lacks, so that no operator of a fusion network falls back to torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.fx import Node


@cache
def register() -> None:
    """Register the converters with Torch-TensorRT, once. Importing Torch-TensorRT needs a GPU."""
    from torch_tensorrt.dynamo.conversion import ConverterPriority, dynamo_tensorrt_converter

    options: dict[str, Any] = {"priority": ConverterPriority.HIGH, "supports_dynamic_shapes": True}
    dynamo_tensorrt_converter(torch.ops.aten._to_copy.default, capability_validator=_is_uint8_cast, **options)(_cast)


def _is_uint8_cast(node: Node, _settings: Any = None) -> bool:
    return bool(node.kwargs.get("dtype") == torch.uint8)


def _cast(context: Any, _target: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], name: str) -> Any:
    """Converter of a cast to uint8; the built-in one does not support uint8 outputs."""
    import tensorrt

    layer = context.net.add_cast(args[0], tensorrt.DataType.UINT8)
    layer.name = name
    return layer.get_output(0)
