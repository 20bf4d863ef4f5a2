"""Shared output of the evaluations: tables, notes, progress bar, CSV files."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ...calib.atomic import atomic
from ...engines.host.terminal import markup
from ...pipeline.core.paths import check_not_foreign
from ...pipeline.errors import InputError
from ..errors import TrainError


def new_table(title: str, headings: Iterable[str]) -> Table:
    """Empty table; the first column has the row names, the others right-aligned values."""
    table = Table(title=markup(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def progress_bar(what: str, console: Console) -> Progress:
    """Progress bar over scenes that disappears at the end."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def note_on(console: Console) -> Callable[[str], None]:
    """Return a function that prints a note to the user."""
    return lambda line: console.print(f"note: {markup(line)}", style="yellow", highlight=False, soft_wrap=True)


def say_written(paths: Iterable[Path], console: Console) -> None:
    """Print the paths of the written files."""
    console.print("\n".join(["", *(f"wrote {markup(path)}" for path in paths)]), highlight=False, soft_wrap=True)


def write_csv(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write one line per mapping; the columns are all keys that occur. Raises TrainError if writing fails."""
    with atomic(path, TrainError) as aside, aside.path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for line in lines for key in line)))
        writer.writeheader()
        writer.writerows(lines)


def check_writable(folder: Path, tables: Mapping[str, bytes], pictures: Iterable[str] = ()) -> None:
    """Create a folder and check that files can be written to it. Raises TrainError, also if one is somebody else's.

    tables: how fusecam's own begin, by name. pictures: names of other files, written beside the tables.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for name, begins in tables.items():
            check_not_foreign(folder / name, re.compile(re.escape(begins)))
        if not any((folder / name).exists() for name in tables):
            for name in pictures:
                check_not_foreign(folder / name)
    except InputError as error:
        raise TrainError(str(error)) from error
    except OSError as error:
        raise TrainError(f"{folder}: cannot be written: {error.strerror or error}: choose another --out") from error
