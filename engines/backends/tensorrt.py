"""The network compiled by Torch-TensorRT, for `CudaEngine` to capture as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..build import store

if TYPE_CHECKING:
    from torch.fx import Node

BLOB = "engine.bin"


class EngineCache:
    """Engine cache for Torch-TensorRT on top of the store; its own cache unpickles files without verification."""

    def __init__(self) -> None:
        """Without the arguments of the base class."""

    def save(self, hash: str, blob: bytes, *arguments: Any, **named: Any) -> None:
        """Store an engine. hash: of its graph, inputs and settings."""
        store.keep_files(_key(hash), {BLOB: blob})

    def load(self, hash: str, *arguments: Any, **named: Any) -> bytes | None:
        """Load an engine that this user stored; None if there is none."""
        entry = store.find(_key(hash))
        return None if entry is None else entry.files[BLOB]


def _key(hash: str) -> store.Key:
    key = {"network": "graph", "shape": hash[:12], "graph": hash, "backend": "tensorrt", "precision": "f16"}
    return key | {"torch": version("torch"), "code": store.code_digest()}


def build(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
    """Compile a module to one TensorRT engine; no operator falls back to torch. Built engines are stored.

    module: its dtype is the precision of the engine, since Torch-TensorRT is strongly typed. inputs: examples on the
    GPU, which set shapes and dtypes.
    """
    import torch_tensorrt
    from torch_tensorrt.dynamo._engine_cache import BaseEngineCache

    register()
    with torch.no_grad():
        program = torch.export.export(module, inputs)
    return torch_tensorrt.dynamo.compile(  # type: ignore[no-any-return]
        program,
        inputs,
        require_full_compilation=True,
        min_block_size=1,
        immutable_weights=False,  # required by the engine cache
        cache_built_engines=True,
        reuse_cached_engines=True,
        custom_engine_cache=type("Cache", (EngineCache, BaseEngineCache), {})(),
    )


@cache
def register() -> None:
    """Register a converter that Torch-TensorRT 2.14 lacks, once, so that no operator of a fusion network falls back to
    torch. Importing Torch-TensorRT needs a GPU.
    """
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
