"""What is told on stderr must not end a recording: where that goes to a full disk, the run goes on in silence."""

from __future__ import annotations

import errno
import sys
from typing import Any, TextIO, cast

FULL = errno.ENOSPC, errno.EDQUOT
"""What the system says of a disk without room, and of a user who has used up theirs."""


class _Patient:
    """A text stream that drops what finds no room; all else, a reader that went away too, is as before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See `io.TextIOBase`."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """See `io.IOBase`."""
        self._try(self._stream.flush)

    @staticmethod
    def _try(action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError as error:
            if error.errno not in FULL:
                raise


def outlive_full_disk() -> None:
    """From now on a full disk behind stderr hinders nothing. Safe to call twice."""
    if sys.stderr is not None and not isinstance(sys.stderr, _Patient):
        sys.stderr = cast(TextIO, _Patient(sys.stderr))
