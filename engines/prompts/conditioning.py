"""Strengths for a network with each frame: constant, or chosen from measurements of the frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import cv2
import numpy as np

from ..base import EngineError, Pixels
from ..networks.smoothing import STRENGTHS, Cuts, State, past_weight
from ..networks.tasks import TASKS
from .understand import understand

GRID = (160, 120)
"""Width and height to which a frame is resized for the measurements."""
THRESHOLDS = {
    "haze": (0.54, 0.46),
    "low light": (0.79, 0.72),
    "over-exposure": (0.12, 0.06),
    "low contrast": (0.88, 0.82),
}
"""Hysteresis of each task that can be measured: on above the first threshold, off below the second.

On 120 scenes of MSRS clear frames reach a haze of 0.41, frames with rendered haze start at 0.58; days reach a low light
of 0.77, nights start at 0.73; 98 % of the infrared frames stay below a low contrast of 0.88.
"""


class StrengthSource(Protocol):
    """Computes the strengths of TASKS and of the hue for each frame."""

    @property
    def note(self) -> str:
        """What the prompt says that the network cannot act on, one line; empty if nothing."""

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """Strengths for the next frame: (STRENGTHS,) float32, 0 to 1; negative: the network chooses.

        Arguments as for `FusionEngine.fuse`.
        """


class Fixed:
    """The same strengths for every frame."""

    def __init__(self, strengths: Sequence[float], note: str = "") -> None:
        """strengths: of TASKS and the hue, 0 to 1; negative: the network chooses, if it can."""
        self._strengths = np.array(strengths, np.float32)
        self.note = note

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `StrengthSource`."""
        return self._strengths


OWN_CHOICE = Fixed([-1] * STRENGTHS)
"""The network chooses all strengths."""


class AutoPrompt:
    """`--prompt auto`: switches each task on and off by measurements of the frames, with hysteresis.

    Measurements are smoothed over time like all global quantities (`networks.smoothing`). After a cut or a gap, and for
    a single picture, they are used unsmoothed, with the mean of the two thresholds. Resolution is not measured: an
    infrared frame that looks blurred may show a scene of uniform temperature.
    """

    note = ""

    def __init__(self, strengths: Sequence[float]) -> None:
        """strengths: of TASKS and the hue; negative ones of TASKS are chosen here."""
        self._requested = np.array(strengths, np.float32)
        self._cuts = Cuts()
        self._smoothed, self._on = dict.fromkeys(THRESHOLDS, 0.0), dict.fromkeys(THRESHOLDS, False)

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `StrengthSource`. No strength of TASKS is negative."""
        weight = past_weight(elapsed_s, self._cuts.cut(visible))
        for name, measured in measure(visible, infrared).items():
            high, low = THRESHOLDS[name]
            self._smoothed[name] = smoothed = measured + weight * (self._smoothed[name] - measured)
            limit = (high + low) / 2 if weight == 0 else low if self._on[name] else high
            self._on[name] = smoothed > limit
        chosen = [float(self._on.get(task.name, False)) for task in TASKS]
        return np.where(self._requested < 0, np.array([*chosen, self._requested[-1]], np.float32), self._requested)


def measure(visible: Pixels, infrared: Pixels) -> dict[str, float]:
    """Measure each degradation of THRESHOLDS, 0 to 1, higher is worse.

    haze: mean haze density of the dark-channel prior, reduced if the airlight is dim. low light: 1 - mean of max(R, G,
    B). over-exposure: share of white pixels. low contrast: 1 - the range of infrared from its 1st to its 99th
    percentile, without pixels of 0, which may lie outside the coverage.

    visible: (H, W, 3) uint8 RGB. infrared: (h, w) uint8.
    """
    colour = cv2.resize(visible, GRID, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    thermal = cv2.resize(infrared, GRID, interpolation=cv2.INTER_AREA)
    covered = thermal[thermal > 0]
    window = np.ones((5, 5), np.uint8)
    dark = cv2.erode(colour.min(axis=2), window)
    air = max(float(np.partition(dark.ravel(), -20)[-20:].mean()), 0.05)
    density = np.clip(0.95 * dark / air, 0, 1)
    confidence = float(np.clip((air - 0.15) / 0.2, 0, 1))
    low, high = np.percentile(covered, (1, 99)) if covered.size else (0, 255)
    return {
        "haze": confidence * float(density.mean()),
        "low light": 1 - float(colour.max(axis=2).mean()),
        "over-exposure": float((colour.min(axis=2) > 0.97).mean()),
        "low contrast": 1 - float(high - low) / 255,
    }


def ask(name: str, prompt: str, dehaze: float, lift: float, every_task: bool, hue: float = -1.0) -> StrengthSource:
    """Strengths for an engine, from a prompt or from settings.

    Args:
        name: Of the engine, for messages.
        prompt: Text, or `auto`.
        dehaze, lift: 0 to 1, negative: automatic.
        every_task: Whether the network acts on all of TASKS, which are then chosen here with `auto`. Other networks act
            on the first two and choose their strengths themselves.
        hue: 0 to 1, negative: the network's default.

    Raises:
        EngineError: The prompt is not understood, or it contradicts a strength.
    """
    strengths = [dehaze, lift, *(-1.0 for _ in TASKS[2:]), hue]
    if prompt.strip().lower() == "auto":
        return AutoPrompt(strengths) if every_task else Fixed(strengths)
    for setting, value in (("dehaze", dehaze), ("lift", lift)):
        if value >= 0:
            raise EngineError(f"{name}: prompt and {setting} contradict each other: leave one of them out")
    parsed = understand(prompt)
    notes = [parsed.note] if parsed.note else []
    ignored = [] if every_task else [task.name for task, s in zip(TASKS[2:], parsed.strengths[2:], strict=True) if s]
    if ignored:
        notes.append(f"{name} does nothing about {', '.join(ignored)}; lure does")
    return Fixed([*parsed.strengths, hue], "; ".join(notes))


class AdjustablePrompt:
    """Strengths by a prompt that can be changed during a run, from any thread. Arguments as for `ask`."""

    def __init__(self, name: str, prompt: str, dehaze: float, lift: float, every_task: bool, hue: float = -1.0) -> None:
        self._parse = partial(ask, name, dehaze=dehaze, lift=lift, every_task=every_task, hue=hue)
        self.set_prompt(prompt)

    def set_prompt(self, prompt: str) -> None:
        """Set the prompt, from the next frame on. Raises EngineError as `ask` does; the previous prompt then stays."""
        self._source: StrengthSource = self._parse(prompt)
        self.prompt = prompt.strip()

    @property
    def note(self) -> str:
        """See `StrengthSource`."""
        return self._source.note

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `StrengthSource`."""
        return self._source(visible, infrared, elapsed_s)
