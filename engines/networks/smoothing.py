"""Global quantities steadied over time, outside the networks, so that fused video does not pump."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..base import Pixels
from .tasks import TASKS

TIME_CONSTANT_S = 1.0
LONGEST_S = 2.0
"""A gap after which what was seen before says nothing any more."""
CUT_LEVELS = 24.0
"""Earth mover's distance between the grey levels of two frames above which the scene was cut."""
_BINS = 16

STATE = 80
"""Room for the global quantities of a network: airlight, strengths, level of infrared, features of the whole frame."""
STRENGTHS = len(TASKS) + 1
"""A strength for each of TASKS, the first two those of dehazing and lift, and that of the hue."""
CONTROLS = STRENGTHS + STATE + 1
"""What a network takes beside the frames: STRENGTHS; the state before, and its weight."""

State = npt.NDArray[np.float32]


class Cuts:
    """Whether each frame shows another scene than the one before."""

    def __init__(self) -> None:
        self._before: npt.NDArray[np.float64] | None = None

    def cut(self, visible: Pixels) -> bool:
        """Of the next frame, (H, W, 3) uint8 RGB. True for the first."""
        counts = np.cumsum(np.bincount(visible[::8, ::8, 1].ravel() // (256 // _BINS), minlength=_BINS))
        levels, before = counts / counts[-1], self._before
        self._before = levels
        return before is None or float(np.abs(levels - before).sum()) * (256 // _BINS) > CUT_LEVELS


def past_weight(elapsed_s: float | None, cut: bool) -> float:
    """Weight of what was seen before: exp(-elapsed / 1 s), 0 after a gap, a cut, and for a picture on its own."""
    if elapsed_s is None or not 0 < elapsed_s <= LONGEST_S or cut:
        return 0.0
    return math.exp(-elapsed_s / TIME_CONSTANT_S)


class Steady:
    """Exponential smoothing of every global quantity x: x <- w x_before + (1 - w) x_measured, w = exp(-elapsed / 1 s).

    It starts afresh (w = 0) with a picture on its own, after a gap of 2 s, and on a scene cut. The smoothing itself is
    done where the quantity is measured, in the network (`networks.io.Memory`); here is what it does not see: time.
    """

    def __init__(self) -> None:
        self._state: State = np.zeros(STATE, np.float32)
        self._cuts = Cuts()

    def prior(self, visible: Pixels, elapsed_s: float | None) -> State:
        """What the network takes: (STATE + 1,) float32, the state before and its weight w.

        visible: (H, W, 3) uint8 RGB, the frame to come. elapsed_s: as in `FusionEngine.fuse`.
        """
        return np.append(self._state, np.float32(past_weight(elapsed_s, self._cuts.cut(visible))))

    def keep(self, state: State) -> None:
        """Remember the state that the network used, (STATE,) float32."""
        self._state = state.reshape(STATE).astype(np.float32)
