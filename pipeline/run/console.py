"""Terminal handling of a run: Ctrl-C that finishes the files, progress, doubts."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ...engines.build.process import stoppable
from ...engines.host.terminal import markup, say
from ..core.frames import FramePair
from ..core.latency import LatencyRecorder
from .session import Session
from .streams import Streams

INTERRUPTED = 130
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PROGRESS_S = 0.1


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM or a closed terminal sets the event instead of raising; a second one raises KeyboardInterrupt.

    An engine's build is ended by the event, see `stoppable`.
    """
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    # What nohup ignores stays ignored: a recording outlives its terminal.
    caught = [n for n in _ENDING if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        with stoppable(stop):
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(
    console: Console, title: str, total: int | None, recorder: LatencyRecorder
) -> Iterator[Callable[[int], None]]:
    """A progress bar; gives what to call with the number of frames done, from any thread."""
    done = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    columns = *done, TimeRemainingColumn(), TextColumn("{task.fields[rate]}")
    hidden = not console.is_terminal  # a log would get an empty line for each bar
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(markup(title), total=total, rate="")
        shown = time.monotonic()

        def update(done: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= _PROGRESS_S:
                shown = time.monotonic()
                bar.update(task, completed=done, rate=f"{recorder.fps(2.0):.0f} fps")

        yield update


def pairs_seen(session: Session, streams: Streams, console: Console, title: str) -> Iterator[FramePair]:
    """The session's pairs, with progress and doubts in the terminal."""
    streams.doubts.follow(lambda line: say(console, line, "doubtful"))
    with progress(console, title, streams.visible.info.frames, session.recorder) as update:
        for number, pair in enumerate(session.pairs(), 1):
            session.recorder.output()
            update(number)
            yield pair
