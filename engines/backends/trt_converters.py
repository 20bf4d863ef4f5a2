"""What Torch-TensorRT 2.14 does not convert by itself, so that no part of a fusion network falls back to torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.fx import Node


@cache
def register() -> None:
    """Make the converter known to Torch-TensorRT, once. Importing it needs a GPU."""
    from torch_tensorrt.dynamo.conversion import ConverterPriority, dynamo_tensorrt_converter

    more: dict[str, Any] = {"priority": ConverterPriority.HIGH, "supports_dynamic_shapes": True}
    dynamo_tensorrt_converter(torch.ops.aten._to_copy.default, capability_validator=_to_bytes, **more)(_cast)


def _to_bytes(node: Node, _settings: Any = None) -> bool:
    return bool(node.kwargs.get("dtype") == torch.uint8)


def _cast(context: Any, _target: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], name: str) -> Any:
    """A cast to uint8, which its own converter does not know as an output."""
    import tensorrt

    layer = context.net.add_cast(args[0], tensorrt.DataType.UINT8)
    layer.name = name
    return layer.get_output(0)
