"""The process in which one job is measured: `python -m fusecam.pipeline.bench.child`, the job as JSON on stdin's
first line.

On stdout one JSON object a line: {"done": n, "of": m} along the way, then {"result": ...} or {"error": one line}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ...engines.host.lifeline import end_with_parent
from ..errors import expected_errors
from .jobs import ChainJob, CostJob, DetectJob, FuseJob, Job, unpack

TOLD_S = 0.1


class _Line:
    """The line back to the parent: this process's stdout as it was, which nothing else can write to any more."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # what a library prints must not be taken for a result
        self._told = 0.0

    def say(self, **message: Any) -> None:
        print(json.dumps(message, allow_nan=False), file=self._out)

    def tell(self, done: int, total: int) -> None:
        """Progress, now and then: the pipe must not cost what is being measured."""
        if time.monotonic() - self._told >= TOLD_S:
            self._told = time.monotonic()
            self.say(done=done, of=total)


def _run(job: Job, line: _Line) -> dict[str, Any]:
    if isinstance(job, CostJob):
        from .cost import count_cost

        return count_cost(job)
    if isinstance(job, FuseJob):
        from .measure import measure_engine

        return measure_engine(job, line.tell)
    if isinstance(job, DetectJob):
        from .measure import measure_detector

        return measure_detector(job, line.tell)
    assert isinstance(job, ChainJob)
    from .chain import measure_chain

    return measure_chain(job, line.tell)


def main() -> None:
    """Do the job; leave silently when the parent is gone."""
    line = _Line()
    job = unpack(json.loads(sys.stdin.readline()))
    end_with_parent()
    try:
        try:
            result = _run(job, line)
        except expected_errors() as error:
            line.say(error=str(error))
        else:
            line.say(result=result)
    except BrokenPipeError:
        os._exit(1)  # the interpreter would stumble over the same pipe while it flushes


if __name__ == "__main__":
    main()
