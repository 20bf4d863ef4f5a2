"""Exceptions whose messages are shown to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TrainError(Exception):
    """Unusable data or settings. The message is one line: the file or option, the problem, the remedy."""


@contextmanager
def as_train_error(kind: type[Exception], prefix: str = "") -> Iterator[None]:
    """Raise exceptions of another kind whose message is one line for the user as TrainError."""
    try:
        yield
    except kind as error:
        raise TrainError(f"{prefix}{error}") from error


class Interrupted(Exception):
    """The user stopped the run. The message is one line: what was saved, and how to continue."""
