"""Smoothing of global quantities over time, so that fused video does not flicker: the part outside the networks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..base import Pixels
from .tasks import TASKS

TIME_CONSTANT_S = 1.0
"""Time constant of the exponential smoothing, in seconds."""
LONGEST_S = 2.0
"""Longest gap between frames, in seconds; after a longer one smoothing restarts."""
CUT_LEVELS = 24.0
"""Earth mover's distance between the histograms of two frames, in grey levels, above which there is a scene cut."""
_BINS = 16

STATE = 80
"""Size of the state, for any network's global quantities: airlight, strengths, infrared's floor, global features."""
STRENGTHS = len(TASKS) + 1
"""Number of strengths: one per task of TASKS, dehazing and lift first, and that of the hue."""
CONTROLS = STRENGTHS + STATE + 1
"""Length of a network's `controls`: the strengths, the state of the previous frame, and the weight of that state."""

State = npt.NDArray[np.float32]


class Cuts:
    """Detects scene cuts."""

    def __init__(self) -> None:
        self._before: npt.NDArray[np.float64] | None = None

    def cut(self, visible: Pixels) -> bool:
        """Whether the next frame, (H, W, 3) uint8 RGB, shows another scene than the last one. True for the first."""
        counts = np.cumsum(np.bincount(visible[::8, ::8, 1].ravel() // (256 // _BINS), minlength=_BINS))
        levels, before = counts / counts[-1], self._before
        self._before = levels
        return before is None or float(np.abs(levels - before).sum()) * (256 // _BINS) > CUT_LEVELS


def past_weight(elapsed_s: float | None, cut: bool) -> float:
    """Weight of the previous state: exp(-elapsed / 1 s); 0 after a gap or a cut, and for a single picture."""
    if elapsed_s is None or not 0 < elapsed_s <= LONGEST_S or cut:
        return 0.0
    return math.exp(-elapsed_s / TIME_CONSTANT_S)


class Steady:
    """Exponential smoothing of every global quantity x: x <- w x_before + (1 - w) x_measured, w = exp(-elapsed / 1 s).

    It restarts (w = 0) with a single picture, after a gap of 2 s, and at a scene cut. The network itself smooths its
    quantities (`networks.io.Memory`); this class keeps their state between frames and computes the weight.
    """

    def __init__(self) -> None:
        self._state: State = np.zeros(STATE, np.float32)
        self._cuts = Cuts()

    def prior(self, visible: Pixels, elapsed_s: float | None) -> State:
        """State of the previous frame and its weight w, (STATE + 1,) float32, for the network's `controls`.

        visible: (H, W, 3) uint8 RGB, the next frame. elapsed_s: as in `FusionEngine.fuse`.
        """
        return np.append(self._state, np.float32(past_weight(elapsed_s, self._cuts.cut(visible))))

    def keep(self, state: State) -> None:
        """Store the state that the network returned, (STATE,) float32."""
        self._state = state.reshape(STATE).astype(np.float32)
