"""Engines on OpenVINO: a network is converted once, then compiled and verified once per frame size; both are stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np

from ...base import Outputs, Pixels
from ...build import store
from ...build.parity import Parity, compare
from ...build.process import build_apart
from ...networks.smoothing import State
from ...prompts.conditioning import OWN_CHOICE, StrengthSource
from ...warp import Shape, Warp, WarpBuffers
from ..engine import BackendEngine
from ..kernels import loader
from . import bf16, int8
from .ov import ov
from .split import NETWORKS as SPLIT
from .split import Constants, Split

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...networks.io import Network
    from ...networks.realtime import RealtimeFusion

Precision = Literal["f32", "bf16", "int8"]
Modules = Mapping[str, "tuple[nn.Module, tuple[Tensor, ...]]"]
"""Torch modules to convert, by graph name, each with example inputs."""
IR, IR_WEIGHTS, BLOB = ".xml", ".bin", ".blob"
HEAD, WHOLE = "head", "network"
"""Names of graphs: the head of a split network, and a network that is one graph."""


class _Graph:
    """A network that is one graph, with its buffers."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        """compiled: its outputs have the names that `_convert` set."""
        self._request = compiled.create_infer_request()
        self._outputs = tuple(output.any_name for output in compiled.outputs)
        self._held = WarpBuffers()

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """See `engine.Ready`."""
        request = self._request
        cv2.split(visible, list(request.get_input_tensor(0).data[0]))
        np.copyto(request.get_input_tensor(1).data[0], infrared)
        for index, part in self._held.changed_parts(warp):
            np.copyto(request.get_input_tensor(2 + index).data[0], part)
        np.copyto(request.get_input_tensor(5).data, controls)
        request.infer()
        arrays = (tensor.data for tensor in request.output_tensors)
        outputs = zip(self._outputs, arrays, strict=True)
        return {name: np.asarray(cv2.merge(list(x[0]))) if x.ndim == 4 else x[0].copy() for name, x in outputs}


class OpenVinoEngine(BackendEngine[_Graph | Split]):
    """A network on the CPU through OpenVINO, with static shapes and buffers that are reused between frames.

    The converted model is dynamic in height and width. For each new pair of frame sizes it is reshaped to static
    shapes, which run about twice as fast, compiled, and compared with the network in eager torch (see `parity`). Both
    models are kept in the store; the engines of the most recent sizes stay in memory, see `lru`.

    `realtime` and `tiny` are split into graphs and kernels (see `split`), except with int8, with infrared that is
    reduced first, with ablated branches, and where kernels cannot be compiled.

    Frames are copied into the input buffers; a warp is copied only when it changes.
    """

    def __init__(
        self,
        network_name: str,
        make: Callable[[], Network],
        precision: Precision = "f32",
        strengths: StrengthSource = OWN_CHOICE,
        key: Mapping[str, str] | None = None,
        apart: bool = False,
        unlifted: bool = False,
    ) -> None:
        """Nothing is built before the first frame, or `prepare`.

        Args:
            network_name: For the engine's name.
            make: Returns the module, as in `networks`. Not called if everything is in the store; torch is then not
                imported.
            precision: Of the computation.
            strengths: Of dehazing, lift and the other tasks, for each frame.
            key: Identifies code and weights of the network in the store; None: nothing is stored.
            apart: Build in another process, see `build.process`. That process creates the engine by its name, so `make`
                must be the registry's.
            unlifted: Whether the module of `make` has that output.
        """
        super().__init__(f"{network_name}:openvino:{precision}", strengths)
        self._network, self._make, self._precision = network_name, make, precision
        self._core = ov.Core()
        # int8, and bf16 of the networks in bf16.LAYERS, are set layer by layer in the graph, not by OpenVINO's hint
        self._narrow = precision != "f32" and network_name in bf16.LAYERS
        hint = "bf16" if precision == "bf16" and not self._narrow else "f32"
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        self._unsplit = loader.missing() if network_name in SPLIT else ""
        self._split = self._unsplit is None and precision != "int8"
        self._key: dict[str, str] | None = None
        if key is not None:
            self._key = {**key, "unlifted": str(unlifted), "backend": "openvino", "openvino": ov.__version__}
            if precision == "int8":
                self._key |= {"nncf": version("nncf"), "calibrated on": int8.clips_digest()}
            elif self._narrow:
                self._key |= {"in the graph": precision}
            if self._split:
                self._key |= loader.compiler_versions()
        self._apart, self._unlifted = apart, unlifted
        store.limit_bytes()  # reports an invalid setting here rather than in the process that builds
        self._models: dict[tuple[int, ...], dict[str, ov.Model]] = {}
        self._store_error: str | None = None

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        slower = f"{self._name}: {self._unsplit}; fusion is slower" if self._unsplit else None
        return [*super().notes, *(note for note in (slower, self._store_error) if note)]

    def _build(self, shape: Shape) -> _Graph | Split:
        """The engine for these sizes: from the store, or compiled, verified and stored."""
        key = self._key and self._key | {
            "shape": str(shape),
            "precision": self._precision,
            "device": str(self._core.get_property("CPU", "FULL_DEVICE_NAME")),
        }
        ready, sizes = self._load(key, shape), (shape.width, shape.height, *shape.infrared, shape.reduce)
        if ready is None and self._apart and build_apart("fusion", self._name, int(self._unlifted), *sizes):
            ready = self._load(key, shape)
        if ready is not None:
            return ready
        from ..eager import EagerEngine

        network = self._make().eval()
        steps = list(network.steps(shape.height, shape.width))
        modules, constants = self._modules(network, shape)
        if constants is not None:
            loader.begin(steps[0] > 1)
        graphs = {name: model.clone() for name, model in self._converted(network, shape).items()}
        compiled = {}
        for name, (_, examples) in modules.items():
            graphs[name].reshape({index: list(example.shape) for index, example in enumerate(examples)})
            compiled[name] = self._core.compile_model(graphs[name], "CPU", self._settings_of(name))
        facts: store.Facts = {"steps": steps, "profile": constants}
        ready = self._assemble(compiled, shape, facts)
        parity = compare(EagerEngine(self._network, network).run, ready.run, self._precision, shape)
        if key:
            blobs = {name + BLOB: model.export_model().getbuffer() for name, model in compiled.items() if parity.passed}
            self._store_error = store.keep_files(key, blobs, facts | {"parity": parity.as_dict()})
        self._check(parity)
        return ready

    def _load(self, key: store.Key | None, shape: Shape) -> _Graph | Split | None:
        """The engine from the store, None if it is not there. EngineRefused if it failed the parity gate."""
        entry = store.find(key) if key else None
        if entry is None:
            return None
        try:
            self._check(Parity.from_dict(entry.facts["parity"]))
            if WHOLE + BLOB not in entry.files and not loader.is_cached(entry.facts["steps"][0] > 1):
                return None
            compiled = {
                name: self._core.import_model(content, "CPU", self._settings_of(name))
                for name, content in ((file.removesuffix(BLOB), content) for file, content in entry.files.items())
            }
            return self._assemble(compiled, shape, entry.facts)
        except (KeyError, TypeError, RuntimeError):
            return None  # OpenVINO cannot read it: build it again

    def _settings_of(self, graph: str) -> dict[str, Any]:
        """OpenVINO's settings for a graph. All layers of the head run in bf16, which saves conversions between them."""
        whole = self._narrow and graph == HEAD
        return self._settings | ({"INFERENCE_PRECISION_HINT": "bf16"} if whole else {})

    def _modules(self, network: Network, shape: Shape) -> tuple[Modules, Constants | None]:
        """The modules of a network to convert for this shape; and the parameters of its kernels, None without any."""
        from ..graph import ImagePath, examples

        if self._split and shape.reduce == 1:
            from . import split_graphs

            realtime = cast("RealtimeFusion", network)
            if split_graphs.has_kernels(realtime):
                return split_graphs.modules(realtime, shape), split_graphs.constants(realtime)
        return {WHOLE: (ImagePath(network, shape.reduce, planar=True), examples(shape, planar=True))}, None

    def _assemble(self, compiled: Mapping[str, ov.CompiledModel], shape: Shape, facts: store.Facts) -> _Graph | Split:
        if WHOLE in compiled:
            return _Graph(compiled[WHOLE])
        requests = {name: model.create_infer_request() for name, model in compiled.items()}
        step, factor, _ = facts["steps"]
        return Split(requests, shape, Constants(*facts["profile"]), step, factor, self._unlifted)

    def _converted(self, network: Network, shape: Shape) -> dict[str, ov.Model]:
        """The converted models, for all sizes with the same `Network.steps`: from memory, from the store, or converted
        now, with their layers set to int8 and bf16.
        """
        variant: tuple[int, ...] = (shape.reduce, *network.steps(*shape[1::-1]))
        key = self._key and self._key | {"shape": f"any of {variant}"}
        if variant not in self._models and key:
            entry = store.find(key)
            with suppress(KeyError, RuntimeError):  # OpenVINO cannot read it: convert again
                if entry is not None:
                    self._models[variant] = {
                        name.removesuffix(IR): self._core.read_model(content, entry.files[name.replace(IR, IR_WEIGHTS)])
                        for name, content in entry.files.items()
                        if name.endswith(IR)
                    }
        if variant not in self._models:
            models = {}
            for name, (module, examples) in self._modules(network, shape)[0].items():
                models[name] = _convert(module, examples)
                if self._precision == "int8":
                    models[name] = int8.quantised(models[name], self._network, shape)
                if self._narrow and name != HEAD:
                    models[name] = bf16.narrowed(models[name], self._network)
            self._models[variant] = models
            if key:
                store.keep(key, lambda folder: _save(models, folder))
        return self._models[variant]


def _convert(module: nn.Module, examples: tuple[Tensor, ...]) -> ov.Model:
    """Convert a module to an OpenVINO model with dynamic height and width.

    A model of a whole network is valid only for sizes with the same `Network.steps` as the examples.
    """
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated
        # OpenVINO's own call would trace twice to compare the results, which the parity gate does on better frames
        traced = torch.jit.trace(module, examples, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, example_input=examples)
    for output, name in zip(model.outputs, getattr(module, "outputs", ()), strict=False):
        output.get_tensor().set_names({name})
    return model


def _save(models: Mapping[str, ov.Model], folder: Path) -> store.Facts:
    """Write the converted models for the store. Raises OSError where OpenVINO cannot write."""
    try:
        for name, model in models.items():
            ov.save_model(model, folder / (name + IR), compress_to_fp16=False)
    except RuntimeError as e:
        raise OSError(f"OpenVINO cannot write: {e}") from e
    return {}
