"""Child process that measures one job: `python -m fusecam.pipeline.bench.child`.

The first line of stdin is the job as JSON. Each line of stdout is a JSON object: {"done": n, "of": m} for progress,
then {"result": ...} or {"error": message of one line}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ...engines.host.lifeline import end_with_parent
from ..errors import expected_errors
from .jobs import ChainJob, CostJob, FuseJob, Job, unpack

PROGRESS_S = 0.1  # between two progress messages


class _Channel:
    """Messages to the parent over the original stdout, which nothing else can write to."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # output of libraries goes to stderr
        self._reported = 0.0

    def send(self, **message: Any) -> None:
        print(json.dumps(message, allow_nan=False), file=self._out)

    def progress(self, done: int, total: int) -> None:
        """Report progress, rate-limited so that it does not affect the measurement."""
        if time.monotonic() - self._reported >= PROGRESS_S:
            self._reported = time.monotonic()
            self.send(done=done, of=total)


def _run(job: Job, channel: _Channel) -> dict[str, Any]:
    if isinstance(job, CostJob):
        from .cost import count_cost

        return count_cost(job)
    if isinstance(job, ChainJob):
        from .chain import measure_chain

        return measure_chain(job, channel.progress)
    from .measure import measure_detector, measure_engine

    if isinstance(job, FuseJob):
        return measure_engine(job, channel.progress)
    return measure_detector(job, channel.progress)


def main() -> None:
    """Run the job; exit silently if the parent has ended."""
    channel = _Channel()
    job = unpack(json.loads(sys.stdin.readline()))
    end_with_parent()
    try:
        try:
            result = _run(job, channel)
        except expected_errors() as error:
            channel.send(error=str(error))
        else:
            channel.send(result=result)
    except BrokenPipeError:
        os._exit(1)  # a normal exit would fail when it flushes this pipe


if __name__ == "__main__":
    main()
