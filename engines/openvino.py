"""Engines on OpenVINO: a torch network converted once, compiled for each frame size."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import openvino as ov

from . import cache
from .base import EngineError, Fused, Pixels
from .inputs import check_pair
from .steady import CONTROLS, Steady

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["f32", "bf16"]
SIZES_KEPT = 4
"""Compiled frame sizes kept ready. Compiling one takes a fraction of a second; each holds its buffers in memory."""


class OpenVinoEngine:
    """A network on the CPU through OpenVINO, with static shapes and buffers that are reused between frames.

    The conversion is dynamic in height and width; each new frame size is then made static and compiled, because static
    shapes run about twice as fast. The last few sizes stay compiled, so a folder of mixed images does not recompile for
    every image. One thread at a time.
    """

    def __init__(
        self,
        network_name: str,
        make: Callable[[], nn.Module],
        precision: Precision = "f32",
        threads: int | None = None,
        dehaze: float = -1.0,
        lift: float = -1.0,
        fingerprint: str | None = None,
    ) -> None:
        """Convert the network; EngineError if it cannot be.

        network_name: for the engine's name. make: gives the module, as in `networks`; it is not called, and torch not
        imported, where the conversion is on disk. threads: None for all cores. dehaze, lift: 0 to 1, negative for auto.
        fingerprint: of all that the conversion depends on (code, weights, versions); None: never keep it on disk.
        """
        self._name = f"{network_name}:openvino:{precision}"
        self._core = ov.Core()
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._strengths = np.array([dehaze, lift], np.float32)
        self._steady = Steady()
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()
        try:
            self._model = (
                _convert(make) if fingerprint is None else cache.converted(fingerprint, lambda: _convert(make))
            )
        except Exception as e:
            raise EngineError(f"{self._name}: cannot be converted: {_one_line(e)}; use {network_name}:torch") from e

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. The first frame of a size also compiles for it."""
        request = self._request(check_pair(self._name, visible, infrared, coverage))
        for index, frame in enumerate((visible, infrared, coverage)):
            np.copyto(request.get_input_tensor(index).data[0], frame)
        controls = request.get_input_tensor(3).data
        controls[:2], controls[2:] = self._strengths, self._steady.prior(visible, elapsed_s)
        request.infer()
        self._steady.keep(request.get_output_tensor(4).data)
        return Fused(*(request.get_output_tensor(index).data[0].copy() for index in range(4)))

    def _request(self, size: tuple[int, int]) -> ov.InferRequest:
        request = self._requests.pop(size, None) or self._compile(*size)
        self._requests[size] = request
        if len(self._requests) > SIZES_KEPT:
            self._requests.popitem(last=False)
        return request

    def _compile(self, height: int, width: int) -> ov.InferRequest:
        try:
            model = self._model.clone()
            model.reshape({0: [1, height, width, 3], 1: [1, height, width], 2: [1, height, width], 3: [CONTROLS]})
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as e:
            raise EngineError(f"{self._name}: cannot be compiled for {width}x{height}: {_one_line(e)}") from e


def _convert(make: Callable[[], nn.Module]) -> ov.Model:
    """The network as an OpenVINO model, dynamic in height and width."""
    import torch

    frames = (torch.zeros(1, 120, 160, *tail, dtype=torch.uint8) for tail in ((3,), (), ()))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # openvino's own use of torch.jit.trace is deprecated there
        return ov.convert_model(make().eval(), example_input=(*frames, torch.zeros(CONTROLS)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
