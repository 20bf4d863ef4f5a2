"""The network compiled by Torch-TensorRT, for `CudaEngine` to capture as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..build import store
from . import trt_converters

BLOB = "engine.bin"


class KeptEngines:
    """What Torch-TensorRT asks of a cache of engines, on the store: its own unpickles whatever lies on the disk."""

    def __init__(self) -> None:
        """Nothing is read yet."""

    def save(self, hash: str, blob: bytes, *arguments: Any, **named: Any) -> None:
        """Keep an engine. hash: of its graph, inputs and settings."""

        def write(folder: Path) -> store.Facts:
            (folder / BLOB).write_bytes(blob)
            return {}

        store.keep(_key(hash), write)

    def load(self, hash: str, *arguments: Any, **named: Any) -> bytes | None:
        """An engine that this user's fusecam kept, None where there is none."""
        found = store.find(_key(hash))
        return None if found is None else found.files[BLOB]


def _key(hash: str) -> store.Key:
    versions = {"torch": version("torch"), "code": store.code_digest()}
    return {
        "network": "graph",
        "shape": hash[:12],
        "graph": hash,
        "backend": "tensorrt",
        "precision": "f16",
        **versions,
    }


def build(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
    """The module as one TensorRT engine for inputs like these, all on the GPU; nothing in it may fall back to torch.

    Precision is the module's own dtype: Torch-TensorRT is strongly typed. Built engines are kept in the
    store. Raises whatever the compiler raises.
    """
    import torch_tensorrt
    from torch_tensorrt.dynamo._engine_cache import BaseEngineCache

    trt_converters.register()
    with torch.no_grad():
        program = torch.export.export(module, inputs)
    return torch_tensorrt.dynamo.compile(  # type: ignore[no-any-return]
        program,
        inputs,
        require_full_compilation=True,
        min_block_size=1,
        immutable_weights=False,  # which its cache demands
        cache_built_engines=True,
        reuse_cached_engines=True,
        custom_engine_cache=type("Cache", (KeptEngines, BaseEngineCache), {})(),
    )
