"""Engines on OpenVINO: a torch network converted once, compiled and compared with it once for each frame size, kept."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import openvino as ov

from . import store
from .base import EngineError, EngineRefused, Fused, Pixels
from .inputs import check_pair, check_size
from .parity import Parity, compare
from .steady import CONTROLS, STATE, State, Steady

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["f32", "bf16"]
SIZES_KEPT = 4
"""Compiled frame sizes kept ready. Compiling one takes a fraction of a second; each holds its buffers in memory."""
IR, BLOB = "network.xml", "compiled.blob"


class OpenVinoEngine:
    """A network on the CPU through OpenVINO, with static shapes and buffers that are reused between frames.

    The conversion is dynamic in height and width; each new frame size is then made static and compiled, because static
    shapes run about twice as fast, and compared with the network in eager torch (see `parity`). Both are kept in the
    store. The last few sizes stay compiled, so a folder of mixed images does not recompile for every image. One thread
    at a time.
    """

    def __init__(
        self,
        network_name: str,
        make: Callable[[], nn.Module],
        precision: Precision = "f32",
        dehaze: float = -1.0,
        lift: float = -1.0,
        key: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is built before the first frame, or `prepare`.

        network_name: for the engine's name. make: gives the module, as in `networks`; it is not called, and torch not
        imported, where everything is in the store. dehaze, lift: 0 to 1, negative for auto. key: what the network is
        made of (code, weights), for the store; None: never keep it on disk.
        """
        self._network, self._make, self._precision = network_name, make, precision
        self._name = f"{network_name}:openvino:{precision}"
        self._core = ov.Core()
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._strengths = np.array([dehaze, lift], np.float32)
        self._steady = Steady()
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()
        self._key = None if key is None else dict(key) | {"backend": "openvino", "openvino": ov.__version__}
        self._model: ov.Model | None = None

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return []

    def prepare(self, width: int, height: int) -> None:
        """See `FusionEngine.prepare`."""
        check_size(self._name, width, height)
        self._request((height, width))

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. The first frame of a size also builds for it."""
        request = self._request(check_pair(self._name, visible, infrared, coverage))
        fused, state = _run(
            request, (visible, infrared, coverage), self._strengths, self._steady.prior(visible, elapsed_s)
        )
        self._steady.keep(state)
        return fused

    def _request(self, size: tuple[int, int]) -> ov.InferRequest:
        request = self._requests.pop(size, None)
        if request is None:
            try:
                request = self._build(*size).create_infer_request()
            except EngineError:
                raise
            except Exception as e:
                reason = " ".join(str(e).split())[:300]
                where = f"{self._name}: cannot be built for {size[1]}x{size[0]}"
                raise EngineRefused(f"{where}: {reason}") from e
        self._requests[size] = request
        if len(self._requests) > SIZES_KEPT:
            self._requests.popitem(last=False)
        return request

    def _build(self, height: int, width: int) -> ov.CompiledModel:
        """The engine for this size: from the store, or compiled, compared and stored."""
        key = self._key and self._key | {
            "shape": f"{width}x{height}",
            "precision": self._precision,
            "device": str(self._core.get_property("CPU", "FULL_DEVICE_NAME")),
        }
        found = store.find(key) if key else None
        if found is not None:
            try:
                self._judge(Parity.from_dict(found.facts["parity"]))
                return self._core.import_model((found.path / BLOB).read_bytes(), "CPU", self._settings)
            except (KeyError, TypeError, OSError, RuntimeError):
                pass  # written by another version, or just removed: made anew
        network = self._make().eval()
        model = self._converted(network).clone()
        model.reshape({0: [1, height, width, 3], 1: [1, height, width], 2: [1, height, width], 3: [CONTROLS]})
        compiled = self._core.compile_model(model, "CPU", self._settings)
        parity = self._compared(network, compiled, width, height)
        if key:
            store.keep(key, lambda folder: _written(compiled, parity, folder))
        self._judge(parity)
        return compiled

    def _converted(self, network: nn.Module) -> ov.Model:
        """The network for any size: from memory, from the store, or converted."""
        key = self._key and self._key | {"shape": "any"}
        if self._model is None and key:
            found = store.find(key)
            with suppress(RuntimeError):  # just removed by another process
                self._model = None if found is None else self._core.read_model(found.path / IR)
        if self._model is None:
            self._model = model = _convert(network)
            if key:
                store.keep(key, lambda folder: ov.save_model(model, folder / IR, compress_to_fp16=False) or {})
        return self._model

    def _compared(self, network: nn.Module, compiled: ov.CompiledModel, width: int, height: int) -> Parity:
        from .eager import EagerEngine

        request, fresh = compiled.create_infer_request(), np.zeros(STATE + 1, np.float32)
        auto = np.full(2, -1, np.float32)
        return compare(
            EagerEngine(self._network, network).fuse,
            lambda *frames: _run(request, frames, auto, fresh)[0],
            self._precision,
            width,
            height,
        )

    def _judge(self, parity: Parity) -> None:
        if not parity.passed:
            width, height = parity.size
            raise EngineRefused(f"{self._name}: at {width}x{height} not what the network computes: {parity}")


def _run(
    request: ov.InferRequest, frames: tuple[Pixels, Pixels, Pixels], strengths: State, prior: State
) -> tuple[Fused, State]:
    for index, frame in enumerate(frames):
        np.copyto(request.get_input_tensor(index).data[0], frame)
    controls = request.get_input_tensor(3).data
    controls[:2], controls[2:] = strengths, prior
    request.infer()
    outputs = (request.get_output_tensor(index).data[0].copy() for index in range(4))
    return Fused(*outputs), request.get_output_tensor(4).data


def _convert(network: nn.Module) -> ov.Model:
    """The network as an OpenVINO model, dynamic in height and width."""
    import torch

    frames = (torch.zeros(1, 120, 160, *tail, dtype=torch.uint8) for tail in ((3,), (), ()))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # openvino's own use of torch.jit.trace is deprecated there
        return ov.convert_model(network, example_input=(*frames, torch.zeros(CONTROLS)))


def _written(compiled: ov.CompiledModel, parity: Parity, folder: Path) -> store.Facts:
    """Files and facts for the store; of an engine that failed, the facts alone."""
    if parity.passed:
        (folder / BLOB).write_bytes(compiled.export_model().getbuffer())
    return {"parity": parity.as_dict()}
