"""What a prompt can ask for: the six tasks of LURE, three for each camera. Pure names, nothing is imported."""

from __future__ import annotations

from typing import Literal, NamedTuple

Camera = Literal["visible", "infrared"]


class Task(NamedTuple):
    """One degradation that a prompt names. example: words that name it."""

    name: str
    camera: Camera
    example: str


TASKS = (
    Task("haze", "visible", "foggy"),
    Task("low light", "visible", "night"),
    Task("over-exposure", "visible", "glare"),
    Task("low contrast", "infrared", "weak thermal contrast"),
    Task("low resolution x4", "infrared", "blurry thermal"),
    Task("low resolution x8", "infrared", "thermal x8"),
)
"""Their strengths stand in this order in a network's controls; the first two are those of dehazing and lift.

A camera of which none is asked gets the seventh prompt, that of the pseudo degradation: it is clean as it is.
"""
