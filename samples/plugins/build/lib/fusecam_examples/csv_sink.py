"""A sink: `output: {sinks: ["csv:boxes.csv"]}` in a run file writes one line per detection."""

from __future__ import annotations

import csv
from pathlib import Path

import fusecam
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.sinks.base import SinkHealth


class CsvSink:
    """Columns time, class, score, x1, y1, x2, y2. A partial file is removed."""

    def __init__(self, argument: str) -> None:
        """argument: the path, the part after the colon."""
        self.health = SinkHealth()
        self._path = Path(argument)
        try:
            self._file = self._path.open("x", newline="")
        except OSError as e:
            raise fusecam.InputError(f"csv:{argument}: cannot be written: {e.strerror}; choose another file") from e
        self._rows = csv.writer(self._file)
        self._rows.writerow(["time", "class", "score", "x1", "y1", "x2", "y2"])

    def write(self, result: Result) -> None:
        """Write a result. An exception stops only this sink; the run continues with the others."""
        for each in result.detections:
            self._rows.writerow([f"{result.time:.6f}", each.label, f"{each.score:.3f}", *each.box])
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Close the file. complete: False if the run failed; the file is then deleted."""
        if not self._file.closed:
            self._file.close()
            if not complete:
                self._path.unlink()
