"""What a network is asked for with each frame: strengths that stay, or chosen from what the frames show."""

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
"""Width and height at which a frame is measured."""
THRESHOLDS = {
    "haze": (0.54, 0.46),
    "low light": (0.79, 0.72),
    "over-exposure": (0.12, 0.06),
    "low contrast": (0.88, 0.82),
}
"""Of each task that can be measured: above the first it is asked for, and below the second no more.

On 120 scenes of MSRS clear frames reach a haze of 0.41, frames with rendered haze start at 0.58; days reach a low light
of 0.77, nights start at 0.73; 98 % of the infrared frames stay below a low contrast of 0.88.
"""


class Asked(Protocol):
    """The strengths of TASKS, and of the hue, for each frame."""

    @property
    def note(self) -> str:
        """What of the prompt is not acted upon, one line; empty mostly."""
        ...

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """Of the next frame, as `FusionEngine.fuse` takes it: (STRENGTHS,) float32, 0 to 1, or negative: the network's
        own choice.
        """
        ...


class Fixed:
    """The same strengths with every frame."""

    def __init__(self, strengths: Sequence[float], note: str = "") -> None:
        """strengths: of TASKS and the hue, 0 to 1, or negative: the network chooses, where it can."""
        self._strengths = np.array(strengths, np.float32)
        self.note = note

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `Asked`."""
        return self._strengths


OWN_CHOICE = Fixed([-1] * STRENGTHS)


class AutoPrompt:
    """`--prompt auto`: each task is asked for while what is measured says so, with hysteresis.

    Measures are smoothed over time like all global quantities (`steady`); after a cut or a gap, and with a picture on
    its own, they count as they are and the decision falls between the two thresholds. Resolution is not measured: a
    blurred infrared frame may just be one of even warmth.
    """

    def __init__(self, strengths: Sequence[float], note: str = "") -> None:
        """strengths: of TASKS and the hue, as given; negative ones of TASKS are chosen here."""
        self._given = np.array(strengths, np.float32)
        self.note = note
        self._cuts, self._seen, self._on = Cuts(), dict.fromkeys(THRESHOLDS, 0.0), dict.fromkeys(THRESHOLDS, False)

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `Asked`. No strength of TASKS is negative."""
        weight = past_weight(elapsed_s, self._cuts.cut(visible))
        for name, found in measure(visible, infrared).items():
            high, low = THRESHOLDS[name]
            self._seen[name] = seen = found + weight * (self._seen[name] - found)
            limit = (high + low) / 2 if weight == 0 else low if self._on[name] else high
            self._on[name] = seen > limit
        chosen = [float(self._on.get(task.name, False)) for task in TASKS]
        return np.where(self._given < 0, np.array([*chosen, self._given[-1]], np.float32), self._given)


def measure(visible: Pixels, infrared: Pixels) -> dict[str, float]:
    """How far each degradation of THRESHOLDS is there, each 0 to 1, higher is worse.

    haze: mean haze density of the dark-channel prior, less where airlight is dim. low light: one less the mean of
    max(R, G, B). over-exposure: share of pixels that are white. low contrast: one less the range of infrared from its
    1st to its 99th percentile, pixels of 0 left out: they may be where registered infrared does not cover.
    """
    colour = cv2.resize(visible, GRID, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    thermal = cv2.resize(infrared, GRID, interpolation=cv2.INTER_AREA)
    covered = thermal[thermal > 0]
    window = np.ones((5, 5), np.uint8)
    dark = cv2.erode(colour.min(axis=2), window)
    air = max(float(np.partition(dark.ravel(), -20)[-20:].mean()), 0.05)
    density = np.clip(0.95 * dark / air, 0, 1)
    believed = float(np.clip((air - 0.15) / 0.2, 0, 1))
    low, high = np.percentile(covered, (1, 99)) if covered.size else (0, 255)
    return {
        "haze": believed * float(density.mean()),
        "low light": 1 - float(colour.max(axis=2).mean()),
        "over-exposure": float((colour.min(axis=2) > 0.97).mean()),
        "low contrast": 1 - float(high - low) / 255,
    }


def ask(name: str, prompt: str, dehaze: float, lift: float, every_task: bool, hue: float = -1.0) -> Asked:
    """What an engine is asked for, by its prompt and strengths.

    name: of the engine, for messages. prompt: text, or `auto`. dehaze, lift: 0 to 1, negative for auto. hue: 0 to 1,
    negative for the network's own. every_task: whether the network takes all of TASKS, chosen here with `auto`; the
    others take the first two, and choose themselves. EngineError where the prompt is not understood, or contradicts a
    strength.
    """
    given = [dehaze, lift, *(-1.0 for _ in TASKS[2:]), hue]
    if prompt.strip().lower() == "auto":
        return AutoPrompt(given) if every_task else Fixed(given)
    for setting, value in (("dehaze", dehaze), ("lift", lift)):
        if value >= 0:
            raise EngineError(f"{name}: prompt and {setting} contradict each other: leave one of them out")
    meant = understand(prompt)
    notes = [meant.note] if meant.note else []
    idle = [] if every_task else [task.name for task, s in zip(TASKS[2:], meant.strengths[2:], strict=True) if s]
    if idle:
        notes.append(f"{name} does nothing about {', '.join(idle)}; lure does")
    return Fixed([*meant.strengths, hue], "; ".join(notes))


class Spoken:
    """Strengths by a prompt that can be changed in mid-run, from any thread. Arguments as for `ask`."""

    def __init__(self, name: str, prompt: str, dehaze: float, lift: float, every_task: bool, hue: float = -1.0) -> None:
        self._meant = partial(ask, name, dehaze=dehaze, lift=lift, every_task=every_task, hue=hue)
        self.say(prompt)

    def say(self, prompt: str) -> None:
        """From the next frame on ask for this. EngineError as from `ask`; then everything stays as it was."""
        self._asked: Asked = self._meant(prompt)
        self.prompt = prompt.strip()

    @property
    def note(self) -> str:
        """See `Asked`."""
        return self._asked.note

    def __call__(self, visible: Pixels, infrared: Pixels, elapsed_s: float | None) -> State:
        """See `Asked`."""
        return self._asked(visible, infrared, elapsed_s)
