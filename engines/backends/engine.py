"""What the engines of all backends share: the check of their input, strengths and state, what is built for a size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..base import EngineRefused, Fused, Outputs, Pixels, building
from ..build.parity import Parity
from ..networks.smoothing import State, Steady
from ..prompts.conditioning import StrengthSource
from ..warp import Shape, Size, Warp
from .inputs import check_pair, check_shape
from .lru import LruCache


class Ready(Protocol):
    """A network that was built for one pair of frame sizes."""

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """Fuse one pair, statelessly. controls: (CONTROLS,) float32. Returns `graph.ImagePath.outputs` by name."""


Built = TypeVar("Built", bound=Ready)


class BackendEngine(ABC, Generic[Built]):
    """A network on one backend, see `FusionEngine`. Not thread-safe."""

    def __init__(self, name: str, strengths: StrengthSource) -> None:
        """name: NAME:BACKEND:PRECISION. strengths: of each task, for each frame."""
        self._name, self._strengths = name, strengths
        self._steady = Steady()
        self._ready: LruCache[Shape, Built] = LruCache()

    @abstractmethod
    def _build(self, shape: Shape) -> Built:
        """Build for these frame sizes."""

    def _create(self, shape: Shape) -> Built:
        with building(f"{self._name}: cannot be built for {shape}"):
            return self._build(shape)

    def _check(self, parity: Parity) -> None:
        """Raise EngineRefused if the comparison with the network failed."""
        if not parity.passed:
            raise EngineRefused(f"{self._name}: at {parity.shape} the output differs from the network's: {parity}")

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [self._strengths.note] if self._strengths.note else []

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine.prepare`."""
        self._ready.get(check_shape(self._name, width, height, infrared, reduce), self._create)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. The first frame of a size also builds for it."""
        warp = check_pair(self._name, visible, infrared, warp)
        ready = self._ready.get(warp.shape, self._create)
        controls = np.append(self._strengths(visible, infrared, elapsed_s), self._steady.prior(visible, elapsed_s))
        outputs = ready.run(visible, infrared, warp, controls)
        self._steady.keep(outputs["state"])
        return Fused.of(outputs)

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """See `Ready.run`."""
        return self._ready.get(warp.shape, self._create).run(visible, infrared, warp, controls)
