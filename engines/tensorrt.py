"""The network compiled by Torch-TensorRT, for `CudaEngine` to capture as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from . import store, trt_converters


def build(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
    """The module as one TensorRT engine for inputs like these, all on the GPU; nothing in it may fall back to torch.

    Precision is the module's own dtype: Torch-TensorRT is strongly typed. Built engines are kept by Torch-TensorRT's
    own cache, beside the store. Raises whatever the compiler raises.
    """
    import torch_tensorrt

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
        engine_cache_dir=str(store.folder().parent / "tensorrt"),
    )
