"""What Torch-TensorRT 2.14 does not convert by itself, so that no part of a fusion network falls back to torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.fx import Node


@cache
def register() -> None:
    """Make the two converters known to Torch-TensorRT, once. Importing it needs a GPU."""
    from torch_tensorrt.dynamo.conversion import ConverterPriority, dynamo_tensorrt_converter

    aten = torch.ops.aten
    more: dict[str, Any] = {"priority": ConverterPriority.HIGH, "supports_dynamic_shapes": True}
    dynamo_tensorrt_converter(aten._to_copy.default, capability_validator=_to_bytes, **more)(_cast)
    dynamo_tensorrt_converter(aten.avg_pool2d.default, capability_validator=_partial_windows, **more)(_pool)


def _to_bytes(node: Node, _settings: Any = None) -> bool:
    return bool(node.kwargs.get("dtype") == torch.uint8)


def _cast(context: Any, _target: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], name: str) -> Any:
    """A cast to uint8, which its own converter does not know as an output."""
    import tensorrt

    layer = context.net.add_cast(args[0], tensorrt.DataType.UINT8)
    layer.name = name
    return layer.get_output(0)


def _partial_windows(node: Node, _settings: Any = None) -> bool:
    return len(node.args) > 4 and bool(node.args[4])


def _pool(context: Any, _target: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], name: str) -> Any:
    """avg_pool2d with ceil_mode: the last windows may reach beyond the image and its padding, which never counts."""
    import tensorrt

    x, window, stride, padding, _, counts_padding = args[:6]
    layer = context.net.add_pooling_nd(x, tensorrt.PoolingType.AVERAGE, tensorrt.Dims(window))
    layer.name = name
    layer.stride_nd, layer.padding_nd = tensorrt.Dims(stride), tensorrt.Dims(padding)
    layer.average_count_excludes_padding = not counts_padding
    layer.padding_mode = tensorrt.PaddingMode.EXPLICIT_ROUND_UP
    return layer.get_output(0)
