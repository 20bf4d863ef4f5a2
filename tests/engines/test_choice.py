"""An engine that breaks down in the middle of a run gives way to the next; a frame that is wrong does not change it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fusecam.engines import create_engine, registry
from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.base import EngineError, Fused, FusionEngine
from fusecam.engines.fallback import FallbackEngine
from fusecam.engines.networks.average import Average

RNG = np.random.default_rng(3)
FRAME = (
    RNG.integers(0, 256, (48, 64, 3), np.uint8),
    RNG.integers(0, 256, (48, 64), np.uint8),
    np.full((48, 64), 255, np.uint8),
)


class Lasting:
    """A real engine whose device is lost after some frames."""

    def __init__(self, name: str, frames: int) -> None:
        self._engine: FusionEngine = EagerEngine("average", Average())
        self.name, self.notes, self._left = name, list[str](), frames

    def prepare(self, *sizes: Any) -> None:
        self._engine.prepare(*sizes)

    def fuse(self, *frames: Any) -> Fused:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")
        return self._engine.fuse(*frames)


def unmade() -> FusionEngine:
    raise RuntimeError("CUDA error: device unavailable")


def test_frame_of_a_failed_engine_goes_to_the_fallback_with_a_note() -> None:
    expected = EagerEngine("average", Average()).fuse(*FRAME).image
    engine = FallbackEngine([lambda: Lasting("gpu", 2), unmade, lambda: Lasting("cpu", 100)])
    for _ in range(5):
        assert np.array_equal(engine.fuse(*FRAME).image, expected)
    assert engine.name == "cpu"
    (note,) = engine.notes
    assert note.startswith("gpu: broke down: CUDA error: unspecified launch failure Compile")
    assert "device unavailable" in note and note.endswith("cpu is used instead")


def test_failure_of_all_engines_is_a_one_line_error() -> None:
    engine = FallbackEngine([lambda: Lasting("gpu", 1), unmade])
    engine.fuse(*FRAME)
    with pytest.raises(EngineError, match=r"gpu: broke down: .*no other engine is left") as caught:
        engine.fuse(*FRAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["average:openvino", "average:torch"])
def test_threads_sharing_an_engine_get_their_own_images(spec: str) -> None:
    engine = create_engine(spec)
    frames = [np.full((120, 160, 3), level, np.uint8) for level in range(0, 240, 10)]
    infrared, everywhere = np.full((120, 160), 100, np.uint8), np.full((120, 160), 255, np.uint8)
    expected = [engine.fuse(frame, infrared, everywhere).image for frame in frames]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            made = list(pool.map(lambda frame: engine.fuse(frame, infrared, everywhere).image, frames))
            assert all(np.array_equal(one, other) for one, other in zip(made, expected, strict=True))


def test_invalid_frame_keeps_the_engine() -> None:
    engine = FallbackEngine([lambda: Lasting("gpu", 100), lambda: Lasting("cpu", 100)])
    with pytest.raises(EngineError):
        engine.fuse(FRAME[0][:8, :8].copy(), FRAME[1][:8, :8].copy(), FRAME[2][:8, :8].copy())
    assert (engine.name, engine.notes) == ("gpu", [])


def test_the_best_backend_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all were there: GPUs by Torch-TensorRT, then by CUDA graphs, in half precision; then the CPU."""
    monkeypatch.setattr(registry, "unusable", lambda backend: None)
    tried = []
    monkeypatch.setattr(registry, "_make", lambda name, backend, precision, *rest: tried.append((backend, precision)))
    for make in create_engine("tiny")._rest:
        make()
    assert tried[:2] == [("tensorrt", "f16"), ("cuda", "f16")]
    assert [backend for backend, _ in tried[2:]][-2:] == ["openvino", "torch"]
