"""Capture times of images: in their names, or in a file beside their folder."""

from __future__ import annotations

import csv
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from .labels import Label

Kind = Literal["epoch", "date", "clock", "seconds", "steps"]
"""Meaning of times: since 1970, date and time, time of day, seconds from any zero, or a counter of unknown unit."""

_SOONEST_S, _LATEST_S = 946_684_800, 4_102_444_800  # the years 2000 to 2100
_PER_PERIOD = 0.55  # tolerance, as for videos: half a period of the slower camera, the rest for jitter
_WIDEST_NS = 500_000_000  # largest tolerance, for slow series
_FEWEST = 5  # numbers, to recognise a steady rate
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_CLOCK = r"(20\d\d)([-_.]?)([01]\d)\2([0-3]\d)[-_T ]?([0-2]\d)([-_.:]?)([0-5]\d)\6([0-5]\d)"
_DATE = re.compile(rf"(?<!\d){_CLOCK}(?:[-_.]?(\d{{9}}|\d{{6}}|\d{{3}})(?!\d))?")
_SHORT = re.compile(
    r"(?<!\d)(?:(\d\d)([-_.]?)([01]\d)\2([0-3]\d)[-_T ])?([0-2]\d)([-_.:]?)([0-5]\d)\6([0-5]\d)"
    r"[-_.,](\d{9}|\d{6}|\d{3})(?!\d)"
)
"""Time of day with a fraction, without a date or after one with a year of two digits."""
_PARTED = re.compile(r"(?<!\d)(\d{9,10})(?:\.(\d{1,9})|[-_](\d{9}|\d{6}))(?!\d)")
_WHOLE = re.compile(r"(?<!\d)(\d{19}|\d{16}|\d{13}|\d{10})(?!\d)")
_SECONDS = re.compile(r"(?<!\d)(\d{1,8})\.(\d{2,9})(?!\d)")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Stamps:
    """Capture times of a list of images in ns, None for images without. source: description of their origin."""

    kind: Kind
    times: list[int | None]
    source: str

    @property
    def period_ns(self) -> int:
        """5th percentile of the intervals in ns, which missing images hardly change. 0 for fewer than two times."""
        return _low(self._intervals())

    def _intervals(self) -> list[int]:
        known = sorted(time for time in self.times if time is not None)
        return sorted(b - a for a, b in pairwise(known))

    @property
    def few(self) -> bool:
        """Whether there are too few times to estimate the camera's frame rate."""
        return len(self._intervals()) < _FEWEST - 1

    @property
    def whole(self) -> bool:
        """Whether all are whole seconds: too coarse to pair a camera's frames by."""
        return all(time % 10**9 == 0 for time in self.times if time is not None)

    @property
    def steady(self) -> bool:
        """Whether the intervals are nearly multiples of one step, as those of a steady frame rate."""
        period, gaps = self.period_ns, self._intervals()
        if len(gaps) + 1 < _FEWEST or period < 5:
            return False
        near = sum(abs(gap - round(gap / period) * period) <= 0.3 * period for gap in gaps if gap)
        return near >= 0.8 * len(gaps)


def stamps_in_names(labels: Sequence[Label]) -> list[Stamps]:
    """All interpretations of the names as capture times, the most certain first; times must all differ."""
    ways: list[tuple[Kind, Callable[[str], int | None]]] = [
        ("epoch", _epoch), ("date", _date), ("clock", _clock), ("seconds", _seconds), ("steps", _steps)
    ]  # fmt: skip
    found = []
    for kind, read in ways:
        times = [read(label[-1]) for label in labels]
        known = [time for time in times if time is not None]
        if len(known) >= max(2, 0.8 * len(times)) and len(set(known)) == len(known):
            found.append(Stamps(kind, times, "times in the names"))
    return found


def _epoch(name: str) -> int | None:
    found = [_ns(m[1], m[2] or m[3]) for m in _PARTED.finditer(name)]
    found += [int(m[1]) * 10 ** (19 - len(m[1])) for m in _WHOLE.finditer(_PARTED.sub("", name))]
    plausible = [time for time in found if _SOONEST_S * 10**9 <= time <= _LATEST_S * 10**9]
    return plausible[0] if len(plausible) == 1 else None


def _date(name: str) -> int | None:
    found = list(_DATE.finditer(name))
    return _of_day(*found[0].groups()) if len(found) == 1 else None


def _clock(name: str) -> int | None:
    found = [] if _DATE.search(name) else list(_SHORT.finditer(name))
    if len(found) != 1:
        return None
    year, *rest = found[0].groups()
    return _of_day(f"20{year}", *rest) if year else _of_day("2000", None, "1", "1", *rest[3:])


def _of_day(*parts: str | None) -> int | None:
    """Time in ns of a match of `_CLOCK` and a fraction; None if it is not a valid time."""
    year, _, month, day, hour, _, minute, second, fraction = parts
    try:
        date = datetime(int(year or 0), int(month or 0), int(day or 0), tzinfo=UTC)
        whole = date.replace(hour=int(hour or 0), minute=int(minute or 0), second=int(second or 0))
    except ValueError:
        return None
    return _ns(str(int(whole.timestamp())), fraction)


def _seconds(name: str) -> int | None:
    found = list(_SECONDS.finditer(name))
    return _ns(found[0][1], found[0][2]) if len(found) == 1 else None


def _steps(name: str) -> int | None:
    found = _NUMBER.findall(name)
    return int(found[0]) if len(found) == 1 else None


def _ns(seconds: str, fraction: str | None) -> int:
    return int(seconds) * 10**9 + int((fraction or "").ljust(9, "0")[:9])


def without_times(label: Label) -> Label:
    """A label without the capture time in its name."""
    name = label[-1]
    for form in (_DATE, _PARTED, _WHOLE):
        name = form.sub("-", name)
    return (*label[:-1], name)


def nearest(visible: Stamps, infrared: Stamps, offset_ns: int = 0) -> tuple[list[int | None], int]:
    """The infrared index nearest in time to each visible one, None where none is near enough; and how near that is.

    Near enough: 0.55 of the slower camera's period, at most half a second (of `steps`: 0.55 of the period). Several
    visible images may share an infrared one. Of two equally near, the earlier. offset_ns: added to infrared times.
    """
    tolerance = int(_PER_PERIOD * max(visible.period_ns, infrared.period_ns))
    if visible.kind != "steps":
        tolerance = min(tolerance, _WIDEST_NS)
    order = sorted((time + offset_ns, i) for i, time in enumerate(infrared.times) if time is not None)
    partners: list[int | None] = []
    for time in visible.times:
        at = bisect_left(order, (time, -1)) if time is not None else 0
        around = [] if time is None else [(abs(t - time), t, i) for t, i in order[max(at - 1, 0) : at + 1]]
        best = min(around, default=None)
        partners.append(best[2] if best is not None and best[0] <= tolerance else None)
    return partners, tolerance


def stamps_beside(files: Sequence[Path]) -> Stamps | None:
    """Times from a file beside the images' folder, or in it: KITTI's `timestamps.txt`, one line for each image, or a
    CSV of names and times (`name,time_ns`; EuRoC's `#timestamp [ns],filename`). None where there is none, or where it
    does not fit the images.
    """
    folders = {file.parent for file in files}
    if len(folders) != 1:
        return None
    folder = folders.pop().absolute()
    names = ("timestamps.csv", "times.csv", "data.csv", "timestamps.txt", "times.txt")
    beside = [folder.parent / f"{folder.name}.csv"]
    for path in (*beside, *(place / name for place in (folder, folder.parent) for name in names)):
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
        except (OSError, UnicodeDecodeError):
            continue
        times = _listed([line for line in lines if line.strip()], files)
        known = [time for time in times or () if time is not None]
        if times is not None and known and len(set(known)) == len(known):
            return Stamps("epoch", times, f"times in {path}")
    return None


def _listed(lines: list[str], files: Sequence[Path]) -> list[int | None] | None:
    """Times of the images from a file; None if the file is not a list of times."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    head = rows[0] if rows and not any(_time(cell, 1) for cell in rows[0] if not cell.startswith("#")) else None
    rows = [row for row in (rows[1:] if head else rows) if row and not row[0].startswith("#")]
    unit = next((_UNITS[m[1]] for cell in head or () if (m := re.search(r"[_\[\s](s|ms|us|ns)\]?$", cell))), None)
    if {len(row) for row in rows} == {1}:
        times = [_time(row[0], unit) for row in rows]
        rising = all(a is not None and b is not None and a < b for a, b in pairwise(times))
        return _by_line(times, files) if rising else None
    if {len(row) for row in rows} != {2}:
        return None
    if head:
        column = next((k for k, cell in enumerate(head) if re.search(r"time|stamp", cell, re.IGNORECASE)), None)
    else:
        column = next((k for k in (0, 1) if all((_time(row[k], None) or 0) > _SOONEST_S * 10**9 for row in rows)), None)
    if column is None:
        return None
    known = {Path(row[1 - column]).stem: _time(row[column], unit) for row in rows}
    return [known.get(file.stem) for file in files]


def _by_line(times: list[int | None], files: Sequence[Path]) -> list[int | None] | None:
    """A time for each image in order, or, where counts differ, by the number in its name, from 0."""
    if len(times) == len(files):
        return times
    numbers = [_steps(file.stem) for file in files]
    if any(number is None or number >= len(times) for number in numbers):
        return None
    return [times[number] for number in numbers if number is not None]


def _time(text: str, unit: int | None) -> int | None:
    """ns of a number (in `unit`, else by its digits, decimals and few digits being seconds) or of a date, else None."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?", text)
    if match and unit is not None:
        return int(match[1]) * unit + (_ns("0", match[2]) * unit // 10**9 if match[2] else 0)
    if match:
        return _ns(match[1], match[2]) if match[2] or len(match[1]) < 13 else int(match[1]) * 10 ** (19 - len(match[1]))
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d+))?Z?", text)
    if match is None:
        return None
    try:
        return _ns(str(int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp())), match[2])
    except ValueError:
        return None


def _low(gaps: Sequence[int]) -> int:
    return gaps[len(gaps) // 20] if gaps else 0
