"""The detector on OpenVINO: compiled and compared with eager torch once per input size, stored in the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..backends.lru import LruCache
from ..backends.openvino.ov import ov
from ..base import EngineError, EngineRefused, Pixels, building
from ..build import store
from ..build.process import build_apart
from .letterbox import Letterbox
from .parity import Agreement, Raw, compare, frames
from .suppress import Floats, suppress
from .weights import DETECTOR_WEIGHTS, detector_channels, detector_names

Precision = Literal["auto", "f32", "bf16"]
Rows = Floats
"""(N, 6) float32: x1, y1, x2, y2 in pixels of the frame, score, class."""
BLOB = "compiled.blob"


class DetectorEngine:
    """A detector on the CPU through OpenVINO, with static shapes and buffers reused between frames.

    Thread-safe: threads that share it wait for each other. torch and Ultralytics are imported only to build for a new
    input size; the compiled model is then in the store.
    """

    def __init__(self, weights: Path = DETECTOR_WEIGHTS, precision: Precision = "auto") -> None:
        """Nothing is built before the first frame, or `prepare`.

        Args:
            weights: As for `load_detector`.
            precision: `auto`: bf16 if the processor supports it and it passes the comparison, else f32. Not chosen by
                measured speed, so that two machines of the same kind give the same boxes.

        Raises:
            EngineError: The weights cannot be read.
        """
        self._weights, self._precision = weights, precision
        self._core = ov.Core()
        self._requests: LruCache[tuple[int, int], ov.InferRequest] = LruCache()
        self._lock = threading.Lock()
        self._used = precision
        store.limit_bytes()  # reports an invalid setting here rather than in the process that builds
        try:
            self._digest = store.digest_of([weights])
            self._names, self.channels = detector_names(weights), detector_channels(weights)
        except OSError as e:
            raise EngineError(f"{weights}: {e.strerror}; give the detector's weights with --detector") from e

    @property
    def name(self) -> str:
        """WEIGHTS:BACKEND:PRECISION; the precision is `auto` until the first frame."""
        return f"{self._weights.stem}:openvino:{self._used}"

    @property
    def names(self) -> dict[int, str]:
        """Class names by class index."""
        return dict(self._names)

    def prepare(self, width: int, height: int) -> None:
        """Build for frames of this size now: seconds the first time, less from the store. Raises EngineError."""
        plan = Letterbox.of(width, height)
        with self._lock:
            self._requests.get((plan.height, plan.width), self._create)

    def find(self, image: Pixels, confidence: float, classes: Sequence[int] | None = None) -> Rows:
        """Detect objects in a frame. Returns `Rows`, sorted by descending score.

        image: (H, W, `channels`) uint8: RGB, or RGB and infrared. confidence, classes: see `suppress`.
        """
        plan = Letterbox.of(image.shape[1], image.shape[0])
        with self._lock:
            request = self._requests.get((plan.height, plan.width), self._create)
            plan.fill(image, request.get_input_tensor().data[0])
            request.infer()
            rows = suppress(request.get_output_tensor().data[0], confidence, classes)
        rows[:, :4] = plan.to_image(rows[:, :4])
        return rows

    def _create(self, size: tuple[int, int]) -> ov.InferRequest:
        height, width = size
        with building(f"{self.name}: cannot be built for {width}x{height}"):
            return self._build(height, width).create_infer_request()

    def _build(self, height: int, width: int) -> ov.CompiledModel:
        """The model for this input size: from the store, or compiled, verified and stored."""
        key = self._key | {"shape": f"{width}x{height}"}
        stored = self._load(key)
        if stored is None and build_apart("detector", self._weights, self._precision, width, height):
            stored = self._load(key)
        if stored is not None:
            return stored
        compiled, self._used, facts = self._choose(height, width)
        store.keep_files(key, {BLOB: compiled.export_model().getbuffer()}, facts)
        return compiled

    def _load(self, key: store.Key) -> ov.CompiledModel | None:
        """The compiled model from the store, None if it is not there."""
        entry = store.find(key)
        if entry is None:
            return None
        try:
            settings = self._settings(entry.facts["used"])
            compiled = self._core.import_model(entry.files[BLOB], "CPU", settings)
        except (KeyError, TypeError, RuntimeError):
            return None  # OpenVINO cannot read it: build it again
        self._used = entry.facts["used"]
        return compiled

    def _choose(self, height: int, width: int) -> tuple[ov.CompiledModel, Precision, store.Facts]:
        """Compile in the first precision that passes the comparison. Raises EngineRefused if none does."""
        image = next(frames(width, height, self.channels))
        from .network import DetectorNetwork, converted  # imports torch

        network = DetectorNetwork(self._weights)
        reference, model = network.eager, converted(network, image)
        facts: store.Facts = {}
        for precision in self._precisions:
            compiled = self._core.compile_model(model, "CPU", self._settings(precision))
            agreement = compare(reference, _runner(compiled.create_infer_request()), width, height, self.channels)
            facts[precision] = asdict(agreement)
            if agreement.passed(precision):
                return compiled, precision, facts | {"used": precision}
        results = "; ".join(f"{precision}: {Agreement(**facts[precision])}" for precision in self._precisions)
        raise EngineRefused(f"{self.name}: at {width}x{height} the output differs from the network's: {results}")

    @property
    def _precisions(self) -> tuple[Precision, ...]:
        if self._precision != "auto":
            return (self._precision,)
        return ("bf16", "f32") if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else ("f32",)

    def _settings(self, precision: Precision) -> dict[str, Any]:
        return {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}

    @cached_property
    def _key(self) -> dict[str, str]:
        return {
            "network": self._weights.stem,
            "weights": self._digest,
            "code": store.code_digest(),
            "torch": version("torch"),
            "ultralytics": version("ultralytics"),
            "backend": "openvino",
            "openvino": ov.__version__,
            "precision": self._precision,
            "device": str(self._core.get_property("CPU", "FULL_DEVICE_NAME")),
        }


def _runner(request: ov.InferRequest) -> Callable[[Pixels], Raw]:
    def run(image: Pixels) -> Raw:
        np.copyto(request.get_input_tensor().data[0], image)
        request.infer()
        return np.array(request.get_output_tensor().data[0])

    return run
