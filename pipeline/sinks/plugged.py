"""A sink from another package, whose errors are named."""

from __future__ import annotations

from ...engines.host.plugins import blamed, plugin, plugins
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth


class PluggedSink:
    """See `Sink`. Raises InputError for whatever the plug-in raises."""

    def __init__(self, spec: str) -> None:
        """spec: NAME:ARGUMENT."""
        name, _, argument = spec.partition(":")
        self._spec = f"output.sinks: {spec}"
        with blamed(self._spec, InputError):
            make = plugin("sinks", name)
            if make is None:
                raise InputError(f"output.sinks: no sink {name!r} is installed; known: {', '.join(plugins('sinks'))}")
            self._sink = make(argument)
            self.health: SinkHealth = self._sink.health

    def write(self, result: Result) -> None:
        """See `Sink`."""
        with blamed(self._spec, InputError):
            self._sink.write(result)

    def close(self, complete: bool) -> None:
        """See `Sink`."""
        with blamed(self._spec, InputError):
            self._sink.close(complete)
