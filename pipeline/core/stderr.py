"""Output to stderr must not end or block a run, and must not contain secrets, tracebacks included.

Where stderr leads to a full disk, to a reader that went away (tee, a dropped ssh, `| head`) or to one that has stopped
reading, the run goes on in silence.
"""

from __future__ import annotations

import errno
import logging
import select
import sys
import threading
import traceback
from typing import Any, TextIO, cast

from ...engines.host.terminal import printable, redact
from .log import log_event, writing

FULL = errno.ENOSPC, errno.EDQUOT
"""What the system says of a disk without room, and of a user who has used up theirs."""
PATIENCE_S = 0.1
"""How long a reader that does not read holds up the first text that is dropped; later ones are dropped at once."""
_PART = 4096  # bytes that a pipe takes at once when it says that it takes any (PIPE_BUF)


class _SafeStream:
    """A text stream that drops what cannot be written, or not soon. Any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._patience_ms = PATIENCE_S * 1000
        try:
            self._poll: select.poll | None = select.poll()
            self._poll.register(stream.fileno(), select.POLLOUT)
        except (OSError, ValueError, AttributeError):  # no descriptor behind it: nothing to wait for
            self._poll = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See `io.TextIOBase`."""
        with self._lock:
            for part in _parts(text):
                if not self._ready():
                    break
                try:
                    self._stream.write(part)
                    self._stream.flush()
                except (OSError, ValueError):  # ValueError: closed
                    break
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _ready(self) -> bool:
        ready = self._poll is None or bool(self._poll.poll(self._patience_ms))
        self._patience_ms = PATIENCE_S * 1000 if ready else 0
        return ready


def _parts(text: str) -> list[str]:
    """Pieces of at most _PART bytes each in any encoding."""
    length = _PART // 4
    return [text[at : at + length] for at in range(0, len(text), length)]


def guard_stderr() -> None:
    """Keep stderr from ending or blocking the run, and mask secrets in tracebacks. Safe to call twice."""
    if sys.stderr is not None and not isinstance(sys.stderr, _SafeStream):
        sys.stderr = cast(TextIO, _SafeStream(sys.stderr))
    threading.excepthook = _crashed_thread


def crashed(error: BaseException) -> None:
    """Report an unexpected exception with its traceback, as a log event if the log is on."""
    text = redact("".join(traceback.format_exception(error)))
    if writing():
        log_event("crashed", logging.ERROR, message=f"{type(error).__name__}: {error}", traceback=text)
    elif sys.stderr is not None:
        sys.stderr.write(printable(text, keep="\n"))


def _crashed_thread(raised: threading.ExceptHookArgs) -> None:
    if raised.exc_value is not None and not isinstance(raised.exc_value, SystemExit):
        crashed(raised.exc_value)
