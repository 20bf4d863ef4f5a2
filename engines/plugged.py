"""An engine from another package, whose errors and results are checked."""

from __future__ import annotations

from typing import cast

import numpy as np

from .base import EngineError, Fused, FusionEngine, Pixels
from .host.plugins import blamed, plugin
from .warp import Size, Warp

_DIMENSIONS = {"image": 3, "restored": 3, "haze_density": 2, "illumination": 2, "infrared": 2}


class PluggedEngine:
    """See `FusionEngine`. Raises EngineError for whatever the plug-in raises, and for results of another form."""

    def __init__(self, name: str, argument: str) -> None:
        """name: of the entry point. argument: what follows it."""
        self._spec = f"engine {name}:{argument}".removesuffix(":")
        with blamed(self._spec, EngineError):
            make = plugin("engines", name)
            assert make is not None
            self._engine = cast("FusionEngine", make(argument))
            self._named = self._engine.name, self._engine.notes  # there at all

    @property
    def name(self) -> str:
        """See `FusionEngine`."""
        return self._engine.name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine`."""
        return self._engine.notes

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine`."""
        with blamed(self._spec, EngineError):
            self._engine.prepare(width, height, infrared, reduce)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine`. The plug-in gets a `Warp` of registered infrared too."""
        if not isinstance(warp, Warp):
            warp = Warp.registered(warp)
        with blamed(self._spec, EngineError):
            fused = self._engine.fuse(visible, infrared, warp, elapsed_s)
            self._check(fused, visible.shape)
        return fused

    def _check(self, fused: Fused, shape: tuple[int, ...]) -> None:
        for name, dimensions in _DIMENSIONS.items():
            value, whole = getattr(fused, name, None), name not in ("haze_density", "illumination")
            if isinstance(value, np.ndarray):
                fits = value.shape == shape[:dimensions] if whole else value.ndim == dimensions and value.size > 0
                if fits and value.dtype == np.uint8:
                    continue
                found = f"{value.dtype} {value.shape}"
            else:
                found = type(value).__name__
            wanted = shape[:dimensions] if whole else "(h, w)"
            raise EngineError(f"{self._spec}: its {name} is {found}, not uint8 {wanted}")
