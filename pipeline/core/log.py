"""Events as JSON lines on stderr, for log collectors. Off unless asked for; then nothing else is written there."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ...calib.yaml_file import Version
from ...engines.host.terminal import redact, redacted

_LOGGER = logging.getLogger("fusecam")
_LOGGER.propagate = False  # users of the library add a handler to the logger of this name
_LOGGER.addHandler(logging.NullHandler())


class Event(TypedDict):
    """One line of `--log-json`. Events have more fields, each its own."""

    version: Version
    time: Annotated[str, Field(description="ISO 8601, UTC")]
    level: Literal["info", "warning", "error"]
    event: str


class JsonLines(logging.Formatter):
    """An `Event` to the line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level: Any = record.levelname.lower()
        line: Event = {"version": 1, "time": at, "level": level, "event": record.getMessage()}
        return json.dumps({**line, **getattr(record, "fields", {})}, default=_as_text)


def _as_text(value: object) -> str:
    return redact(str(value))


class _Stderr(logging.Handler):
    """Whatever is stderr when the event comes."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more: the run goes on
            print(self.format(record), file=sys.stderr, flush=True)


def write_json_lines() -> None:
    """Write events to stderr from now on. Safe to call twice."""
    if not writing():
        handler = _Stderr()
        handler.setFormatter(JsonLines())
        _LOGGER.addHandler(handler)
        _LOGGER.setLevel(logging.INFO)


def writing() -> bool:
    """Whether events go to stderr, so that nothing else should."""
    return any(isinstance(handler.formatter, JsonLines) for handler in _LOGGER.handlers)


def log_event(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event, without the secrets in it. fields: what JSON can hold; anything else as its text."""
    _LOGGER.log(level, event, extra={"fields": redacted(fields)})
