"""The measurements of `fusecam bench`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...engines import available
from ...engines.backends.inputs import SMALLEST
from ...engines.registry import NETWORKS, parse
from ..config import DetectorConfig, EngineConfig
from ..errors import InputError
from .jobs import KEPT, PLAIN, Size, Variant

WARMUPS = 10
ROUNDS, FEWEST = 5, 20
"""Number of rounds that share the repeats, and least number of repeats in a round."""
LARGEST = 8192
DEFAULT_SIZE = "640x480"
_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})")


@dataclass(frozen=True, slots=True)
class Plan:
    """Measurements to make.

    Attributes:
        engines: (specification, variant) of every row.
        chains: engines for the whole chain, run without and with the detector, on recordings and on cameras.
        sizes: frame sizes, (width, height).
        repeats: timed repeats of each row.
        weights: weights of the detector; None: fusecam's own.
        detector: whether there is a detector.
        fps: frame rate of the cameras.
        warmups: untimed repeats before each round.
    """

    engines: tuple[tuple[str, Variant], ...]
    chains: tuple[str, ...]
    sizes: tuple[Size, ...]
    repeats: int
    weights: Path | None = None
    detector: bool = False
    fps: float = 30.0
    warmups: int = WARMUPS

    @property
    def rounds(self) -> list[int]:
        """Number of repeats in each round."""
        count = max(1, min(ROUNDS, self.repeats // FEWEST))
        return [self.repeats // count + (number < self.repeats % count) for number in range(count)]

    @property
    def detects(self) -> tuple[bool, ...]:
        """Detection on or off, for each run of the whole chain."""
        return (False, True) if self.detector else (False,)

    @property
    def paces(self) -> tuple[float | None, ...]:
        """Frame rate of the cameras for each run of the whole chain; None for recordings."""
        return None, self.fps

    @property
    def networks(self) -> list[str]:
        """Names of the networks, in the order of the engines."""
        return list(dict.fromkeys(parse(spec)[0] for spec, _ in self.engines))


def make_plan(
    engines: Sequence[str],
    sizes: Sequence[str],
    repeats: int,
    weights: Path | None = None,
    chain: bool = True,
    fps: float = 30.0,
) -> Plan:
    """Create the plan from the command's options. Raises EngineError and InputError for invalid ones.

    engines: NAME[:BACKEND[:PRECISION]]; omitted parts mean all, an empty list all engines. For the chain omitted parts
    mean the default, as in the plain command. chain: whether to run the whole chain.
    """
    whole = [":".join(parse(spec)) for spec in engines or [EngineConfig().name]]
    if weights is not None and not weights.exists():
        raise InputError(f"{weights}: no such weights; give a file with --detector, or leave it out")
    return Plan(
        tuple((spec, variant) for spec in _selected(engines) for variant in _variants(spec)),
        tuple(dict.fromkeys(whole)) if chain else (),
        tuple(dict.fromkeys(_size(text) for text in sizes)),
        repeats,
        weights,
        DetectorConfig(weights=weights).wanted,
        fps,
    )


def _selected(given: Sequence[str]) -> list[str]:
    known = [spec for spec, _ in available() if given or parse(spec)[0] in NETWORKS]
    for wanted in given:
        if not any(_matches(wanted, spec) for spec in known):
            raise InputError(f"--engine {wanted}: not available on this machine; available: {', '.join(known)}")
    return [spec for spec in known if not given or any(_matches(wanted, spec) for wanted in given)]


def _matches(wanted: str, spec: str) -> bool:
    return f"{spec}:".startswith(wanted.rstrip(":") + ":")


def _variants(spec: str) -> tuple[Variant, ...]:
    return (PLAIN, KEPT) if parse(spec)[1] == "torch" else (PLAIN,)


def _size(text: str) -> Size:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--size {text}: give WIDTHxHEIGHT in pixels, for example {DEFAULT_SIZE}")
    width, height = int(match[1]), int(match[2])
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise InputError(f"--size {text}: give {SMALLEST} to {LARGEST} pixels each way")
    return width, height
