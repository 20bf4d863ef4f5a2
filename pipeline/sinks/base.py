"""The sink interface: takes results in order, and leaves a complete output or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..core.result import Result
from ..errors import InputError


@dataclass(slots=True)
class SinkHealth:
    """Monotonic counters, and one line for each kind of problem (not for each frame).

    written: frames taken. resized: frames brought to the first frame's size. retimed: frames whose presentation time
    could not be kept because it did not increase. warnings: printed at the end of the run. urgent: printed at once.
    enough: the output asks for the end of the run (window closed).
    """

    written: int = 0
    resized: int = 0
    retimed: int = 0
    warnings: list[str] = field(default_factory=list)
    urgent: list[str] = field(default_factory=list)
    enough: bool = False


class Sink(Protocol):
    """An output for results. Used from one thread; a sink that raised takes only `close(complete=False)`."""

    @property
    def health(self) -> SinkHealth:
        """Counters and warnings of the sink."""
        ...

    def write(self, result: Result) -> None:
        """Take the next result. Raises InputError when the output cannot be written."""
        ...

    def close(self, complete: bool) -> None:
        """Close the output. If complete, move it into place, else remove the partial file. Safe to call twice."""
        ...


def close_all(sinks: Sequence[Sink], complete: bool) -> None:
    """Close every sink, even when one fails; after a failure the rest close as incomplete. Raises the first error."""
    failure: InputError | None = None
    for sink in sinks:
        try:
            sink.close(complete and failure is None)
        except InputError as e:
            failure = failure or e
    if failure:
        raise failure
