"""Engines on OpenVINO: a torch network converted once, compiled and compared with it once for each frame size, kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from ..base import EngineError, EngineRefused, Fused, Outputs, Pixels
from ..build import store
from ..build.parity import Parity, compare
from ..build.process import build_apart
from ..networks.smoothing import State, Steady
from ..prompts.conditioning import OWN_CHOICE, Asked
from ..warp import Held, Shape, Size, Warp
from . import bf16, int8
from .inputs import check_pair, check_shape
from .lru import Recent
from .ov import ov

if TYPE_CHECKING:
    from ..networks.io import Network

Precision = Literal["f32", "bf16", "int8"]
IR, IR_WEIGHTS, BLOB = "network.xml", "network.bin", "compiled.blob"


@dataclass(frozen=True, slots=True)
class _Ready:
    """A compiled graph with its buffers, and which warp lies in them."""

    request: ov.InferRequest
    outputs: tuple[str, ...]
    held: Held = field(default_factory=Held)

    @staticmethod
    def of(compiled: ov.CompiledModel) -> _Ready:
        """Its outputs by the names that `_convert` gave them."""
        return _Ready(compiled.create_infer_request(), tuple(output.any_name for output in compiled.outputs))


class OpenVinoEngine:
    """A network on the CPU through OpenVINO, with static shapes and buffers that are reused between frames.

    A conversion is dynamic in heights and widths; each new pair of frame sizes is then made static and compiled,
    because static shapes run about twice as fast, and compared with the network in eager torch (see `parity`). Both are
    kept in the store. The last sizes stay compiled, see `recent`.
    A frame is copied into its buffer, a warp only when it is a new one. One thread at a time.
    """

    def __init__(
        self,
        network_name: str,
        make: Callable[[], Network],
        precision: Precision = "f32",
        asked: Asked = OWN_CHOICE,
        key: Mapping[str, str] | None = None,
        apart: bool = False,
        unlifted: bool = False,
    ) -> None:
        """Nothing is built before the first frame, or `prepare`.

        network_name: for the engine's name. make: gives the module, as in `networks`; it is not called, and torch not
        imported, where everything is in the store. asked: strengths for each frame. key: what the network is
        made of (code, weights), for the store; None: never keep it on disk. apart: build in another process, see
        `apart`; it makes the engine by its name, so that `make` must be the registry's. unlifted: whether what `make`
        gives has that output.
        """
        self._network, self._make, self._precision = network_name, make, precision
        self._name = f"{network_name}:openvino:{precision}"
        self._core = ov.Core()
        # int8 is in the graph, where its layers bear it; so is bf16 of some networks, also beside int8
        self._narrow = precision != "f32" and network_name in bf16.LAYERS
        hint = "bf16" if precision == "bf16" and not self._narrow else "f32"
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        self._asked = asked
        self._steady = Steady()
        self._ready: Recent[Shape, _Ready] = Recent()
        self._key = (
            None
            if key is None
            else {**key, "unlifted": str(unlifted), "backend": "openvino", "openvino": ov.__version__}
        )
        if self._key and precision == "int8":
            self._key |= {"nncf": version("nncf"), "calibrated on": int8.clips_digest()}
        elif self._key and self._narrow:
            self._key |= {"in the graph": precision}
        self._apart, self._unlifted = apart, unlifted
        store.limit_bytes()  # a wrong setting is said here, not by the process that builds
        self._models: dict[tuple[int, ...], ov.Model] = {}
        self._unkept: str | None = None

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [note for note in (self._asked.note, self._unkept) if note]

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine.prepare`."""
        self._ready.of(check_shape(self._name, width, height, infrared, reduce), self._readied)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. The first frame of a size also builds for it."""
        warp = check_pair(self._name, visible, infrared, warp)
        ready = self._ready.of(warp.shape, self._readied)
        controls = np.append(self._asked(visible, infrared, elapsed_s), self._steady.prior(visible, elapsed_s))
        outputs = _run(ready, visible, infrared, warp, controls)
        self._steady.keep(outputs["state"])
        return Fused.of(outputs)

    def _readied(self, shape: Shape) -> _Ready:
        try:
            return _Ready.of(self._build(shape))
        except EngineError:
            raise
        except Exception as e:
            reason = " ".join(str(e).split())[:300]
            raise EngineRefused(f"{self._name}: cannot be built for {shape}: {reason}") from e

    def _build(self, shape: Shape) -> ov.CompiledModel:
        """The engine for these sizes: from the store, or compiled, compared and stored."""
        key = self._key and self._key | {
            "shape": str(shape),
            "precision": self._precision,
            "device": str(self._core.get_property("CPU", "FULL_DEVICE_NAME")),
        }
        compiled = self._kept(key)
        if (
            compiled is None
            and self._apart
            and build_apart("fusion", self._name, int(self._unlifted), *shape[:2], *shape.infrared, shape.reduce)
        ):
            compiled = self._kept(key)
        if compiled is not None:
            return compiled
        network = self._make().eval()
        model = self._converted(network, shape).clone()
        from .graph import examples

        model.reshape({index: list(given.shape) for index, given in enumerate(examples(shape, planar=True))})
        compiled = self._core.compile_model(model, "CPU", self._settings)
        parity = self._compared(network, compiled, shape)
        if key:
            self._unkept = store.keep(key, lambda folder: _written(compiled, parity, folder))
        self._judge(parity)
        return compiled

    def _kept(self, key: store.Key | None) -> ov.CompiledModel | None:
        """What is in the store. EngineRefused where that is an engine that failed."""
        found = store.find(key) if key else None
        if found is None:
            return None
        try:
            self._judge(Parity.from_dict(found.facts["parity"]))
            return self._core.import_model(found.files[BLOB], "CPU", self._settings)
        except (KeyError, TypeError, RuntimeError):
            return None  # OpenVINO cannot read it: made anew

    def _converted(self, network: Network, shape: Shape) -> ov.Model:
        """The network for any size of these steps: from memory, from the store, or converted, and quantised if it is to
        be.
        """
        variant = (shape.reduce, *network.steps(shape.height, shape.width))
        key = self._key and self._key | {"shape": f"any of {variant}"}
        if variant not in self._models and key:
            found = store.find(key)
            with suppress(KeyError, RuntimeError):  # OpenVINO cannot read it: made anew
                if found is not None:
                    xml, weights = (found.files[name] for name in (IR, IR_WEIGHTS))
                    self._models[variant] = self._core.read_model(xml, weights)
        if variant not in self._models:
            model = _convert(network, shape)
            if self._precision == "int8":
                model = int8.quantised(model, self._network, shape)
            if self._narrow:
                model = bf16.narrowed(model, self._network)
            self._models[variant] = model
            if key:
                store.keep(key, lambda folder: _saved(model, folder))
        return self._models[variant]

    def _compared(self, network: Network, compiled: ov.CompiledModel, shape: Shape) -> Parity:
        from .eager import EagerEngine

        ready = _Ready.of(compiled)
        return compare(EagerEngine(self._network, network).run, partial(_run, ready), self._precision, shape)

    def _judge(self, parity: Parity) -> None:
        if not parity.passed:
            raise EngineRefused(f"{self._name}: at {parity.shape} not what the network computes: {parity}")


def _run(ready: _Ready, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
    request = ready.request
    cv2.split(visible, list(request.get_input_tensor(0).data[0]))
    np.copyto(request.get_input_tensor(1).data[0], infrared)
    for index, part in ready.held.take(warp):
        np.copyto(request.get_input_tensor(2 + index).data[0], part)
    np.copyto(request.get_input_tensor(5).data, controls)
    request.infer()
    made = zip(ready.outputs, (tensor.data for tensor in request.output_tensors), strict=True)
    return {name: np.asarray(cv2.merge(list(x[0]))) if x.ndim == 4 else x[0].copy() for name, x in made}


def _convert(network: Network, shape: Shape) -> ov.Model:
    """The network with the warp before it as an OpenVINO model, dynamic in heights and widths that have the same steps
    (see `Network.steps`).
    """
    import torch

    from .graph import ImagePath, examples

    path, given = ImagePath(network, shape.reduce, planar=True), examples(shape, planar=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # openvino's own use of torch.jit.trace is deprecated there
        model = ov.convert_model(path, example_input=given)
    for output, name in zip(model.outputs, path.outputs, strict=True):
        output.get_tensor().set_names({name})
    return model


def _saved(model: ov.Model, folder: Path) -> store.Facts:
    """A file for the store. Raises OSError: OpenVINO's error does not say more than that it could not write."""
    try:
        ov.save_model(model, folder / IR, compress_to_fp16=False)
    except RuntimeError as e:
        raise OSError(f"OpenVINO cannot write: {e}") from e
    return {}


def _written(compiled: ov.CompiledModel, parity: Parity, folder: Path) -> store.Facts:
    """Files and facts for the store; of an engine that failed, the facts alone."""
    if parity.passed:
        (folder / BLOB).write_bytes(compiled.export_model().getbuffer())
    return {"parity": parity.as_dict()}
