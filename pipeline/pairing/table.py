"""The table of `--pairs`: pairs of images or clips."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..errors import InputError
from .labels import Label, is_marker

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PairTable:
    """Rows of (visible, infrared) as the file has them.

    partners: visible index to infrared index, once fitted to two lists; None if the rows name parts of names, such as
    clips. source: the file. note: rows that did not fit. head: the first row if it may be headings or names
    (`rgb_file,ir_file`, `fog_rgb,fog_ir`), which the lists decide.
    """

    rows: list[Row]
    source: str
    partners: dict[int, int] | None = None
    note: str | None = None
    head: Row | None = None

    def fitting(self, visible: Sequence[Label], infrared: Sequence[Label], sources: tuple[str, str]) -> PairTable:
        """Fit the table to two lists of images. Raises InputError if no row fits, or if rows contradict each other."""
        places = _places(visible), _places(infrared)
        partners: dict[int, int] = {}
        strange: list[Row] = []
        head = [] if self.head is None else [self.head]
        rows = [*(row for row in head if all(map(_find, row, places))), *self.rows]
        for row in rows:
            found = [_find(name, places[side]) for side, name in enumerate(row)]
            for name, hits, source in zip(row, found, sources, strict=True):
                if len(hits) > 1:
                    raise InputError(
                        f"{self.source}: '{name}' fits {len(hits)} files of {source}: give its folder too, or rename "
                        "those that differ only in suffix or case"
                    )
            if not all(found):
                strange.append(row)
                continue
            v, i = found[0][0], found[1][0]
            if partners.setdefault(v, i) != i:
                raise InputError(f"{self.source}: '{row[0]}' has two infrared partners; leave one row for it")
        if not partners:
            texts = [["/".join(label).casefold() for label in labels] for labels in (visible, infrared)]
            rows = [*(row for row in head if _held(row, texts)), *self.rows]
            if any(_held(row, texts) for row in rows):
                return PairTable(rows, self.source)
            raise InputError(
                f"{self.source}: no row names two files that are there, such as '{'/'.join(visible[0])}' of "
                f"{sources[0]} with '{'/'.join(infrared[0])}' of {sources[1]}; columns are visible,infrared"
            )
        note = None
        if strange:
            note = f"{len(strange)} of {len(rows)} rows name files that are not there, {','.join(strange[0])} first"
        return PairTable(rows, self.source, dict(sorted(partners.items())), note)

    def mapped(self, visible: Sequence[Label]) -> list[Label]:
        """Labels of the visible images with the parts that the rows name replaced by infrared's."""
        swaps = {a.casefold(): b for a, b in self.rows}
        parts = "|".join(re.escape(a) for a in sorted(swaps, key=len, reverse=True))
        either = re.compile(rf"(?<![^\W_])(?:{parts})(?![^\W_])", re.IGNORECASE)
        return [tuple(either.sub(lambda m: swaps[m[0].casefold()], part) for part in label) for label in visible]


def _held(row: Row, texts: Sequence[Sequence[str]]) -> bool:
    """Whether both names of a row are parts of names. texts: of both lists, in lower case."""
    parts = [re.compile(rf"(?<![^\W_]){re.escape(name.casefold())}(?![^\W_])") for name in row]
    return all(any(map(part.search, side)) for part, side in zip(parts, texts, strict=True))


def _places(labels: Sequence[Label]) -> dict[str, list[int]]:
    """Indices by full label and by its every end, folders and all, in lower case."""
    places: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        for first in range(len(label)):
            places.setdefault("/".join(label[first:]).casefold(), []).append(index)
    return places


def _find(name: str, places: dict[str, list[int]]) -> list[int]:
    path = PurePath(name.replace("\\", "/"))
    for parts in (path.parts, path.with_suffix("").parts if path.name else ()):
        for first in range(len(parts)):
            if found := places.get("/".join(parts[first:]).casefold()):
                return found
    return []


def read_pairs(path: Path) -> PairTable:
    """Read a CSV of two columns, visible and infrared, with or without a line of headings (by which they may stand the
    other way round), or a JSON object of visible to infrared names. Raises InputError naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--pairs {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--pairs {path}: is not text: give a CSV with columns visible,infrared") from error
    source = f"--pairs {path}"
    if path.suffix.lower() == ".json":
        return PairTable(_of_json(text, source), source)
    rows: list[Row] = []
    head: Row | None = None
    turned: bool | None = None
    first = True
    separator = next((sign for sign in ",;\t" if sign in text), ",")
    for number, cells in _numbered(text, separator, source):
        row = [cell.strip() for cell in cells]
        if not any(row) or row[0].startswith("#"):
            continue
        if len(row) != 2 or not all(row):
            raise InputError(f"{source} line {number}: two names are needed, visible,infrared")
        if first:
            turned = _heads(row)
        pair = (row[1], row[0]) if turned else (row[0], row[1])
        if turned is None or not first:
            rows.append(pair)
        elif not (is_marker(pair[0].casefold(), "visible") and is_marker(pair[1].casefold(), "infrared")):
            head = pair
        first = False
    if not rows and head is None:
        raise InputError(f"{source}: names no pairs: give lines of visible,infrared")
    return PairTable(rows, source, head=head)


def _numbered(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the numbers of the lines where they begin; in quotation marks they may go on over more."""
    reader, number = csv.reader(text.splitlines(), delimiter=separator), 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source} line {number}: is not CSV: {error}; see that its quotation marks end") from error


def _heads(row: list[str]) -> bool | None:
    """Whether headings stand the other way round; None where the row is none."""
    first, second = (re.split(r"[\W_]+", cell.casefold()) for cell in row)
    if any(re.search(r"[\d.]", cell) for cell in row):
        return None
    for turned, (seen, felt) in ((False, (first, second)), (True, (second, first))):
        if any(is_marker(word, "visible") for word in seen) and any(is_marker(word, "infrared") for word in felt):
            return turned
    return None


def _of_json(text: str, source: str) -> list[Row]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source}: is not valid JSON: {error}") from error
    if not isinstance(found, dict) or not found or not all(isinstance(value, str) for value in found.values()):
        raise InputError(f"{source}: an object of visible to infrared names is needed")
    return list(found.items())
