"""The rules by which two lists of names can be paired."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..core.frames import Camera
from .labels import Key, Label, key_of, names_camera, own_words, plain, segments

MARKED, SHARED = "names without the camera marker", "what both names share"
_OTHER_RATE = 1.2
_WHOLE = 0.8  # least share of a counter's numbers that exist
_COMMON = 0.2  # least share of a column's values in the names of both cameras, if it identifies scenes
_FEW = 3
"""Least number of names from which a recorder's word is learned without a doubt."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to pair.

    rule: description. partners: visible index to infrared index. ambiguous: groups of indices (visible, infrared) with
    a key that occurs more than once in a list. doubt: assumption that may be wrong. note: words that were learned.
    """

    rule: str
    partners: dict[int, int]
    ambiguous: list[tuple[list[int], list[int]]] = field(default_factory=list)
    doubt: str | None = None
    note: str | None = None

    def contradicts(self, partners: dict[int, int]) -> int | None:
        """First visible index whose pair conflicts with `partners`; None without a conflict."""
        taken = {i: v for v, i in partners.items()}
        for v, i in self.partners.items():
            if partners.get(v, i) != i or taken.get(i, v) != v:
                return v
        return None


def by_names(visible: Sequence[Label], infrared: Sequence[Label]) -> Iterator[Reading]:
    """Readings by name, the strictest first, up to the first one that pairs all images."""
    visible, infrared = [plain(label) for label in visible], [plain(label) for label in infrared]
    reading = _match("equal names", visible, infrared)
    yield reading
    ways = [("equal words and numbers", False, False), (MARKED, True, False), (MARKED, True, True)]
    for rule, clear, faint in ways:
        if len(reading.partners) == min(len(visible), len(infrared)):
            return
        reading = _match(rule, _keys(visible, "visible", clear, faint), _keys(infrared, "infrared", clear, faint))
        yield reading
    if len(reading.partners) == min(len(visible), len(infrared)):
        return
    own = own_words(visible, infrared), own_words(infrared, visible)
    if any(own):
        messages = learned(own, len(visible), len(infrared))
        for clear in (False, True):
            keys = _keys(visible, "visible", clear, False, own[0])
            yield _match(SHARED, keys, _keys(infrared, "infrared", clear, False, own[1]), *messages)


def _keys(
    labels: Sequence[Label], camera: Camera, clear: bool, faint: bool, own: frozenset[str] = frozenset()
) -> list[Key]:
    """Keys of the labels. clear, faint: remove such markers of the camera. own: words to remove."""
    return [key_of(label, camera if clear else None, faint, own) for label in labels]


def learned(own: tuple[frozenset[str], frozenset[str]], seen: int, felt: int) -> tuple[str | None, str | None]:
    """Doubt and note about words that were assumed to name the camera."""
    unknown = [sorted(word for word in own[0] if not names_camera(word, "visible"))]
    unknown.append(sorted(word for word in own[1] if not names_camera(word, "infrared")))
    if not any(unknown):
        return None, None
    words = " and ".join(f"{', '.join(w)} ({c})" for w, c in zip(unknown, ("visible", "infrared"), strict=True) if w)
    if (all(unknown) or min(seen, felt) < 2 or max(seen, felt) < _FEW) and max(seen, felt) > 1:
        return f"the names' {words} is taken for the camera, not for the scene", None
    return None, f"the names' {words} is taken for the camera"


def _match(
    rule: str, visible: Sequence[Key], infrared: Sequence[Key], doubt: str | None = None, note: str | None = None
) -> Reading:
    groups: defaultdict[Key, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, keys in enumerate((visible, infrared)):
        for index, key in enumerate(keys):
            if key:  # an empty key does not identify an image
                groups[key][side].append(index)
    partners, ambiguous = {}, []
    for seen, felt in groups.values():
        if len(seen) == len(felt) == 1:
            partners[seen[0]] = felt[0]
        elif seen and felt:
            ambiguous.append((seen, felt))
    return Reading(rule, dict(sorted(partners.items())), ambiguous, doubt, note)


def by_columns(visible: Sequence[Label], infrared: Sequence[Label]) -> Reading | None:
    """Pair names of equally many segments without the columns whose values hardly occur in the other list.

    Such columns are ids that each camera assigns by itself, for example to clips. None if there are none.
    """
    own = own_words(visible, infrared), own_words(infrared, visible)
    rows, others = _rows(visible, "visible", own[0]), _rows(infrared, "infrared", own[1])
    widths = {len(row) for row in (*rows, *others)}
    if len(widths) != 1:
        return None
    columns, further = list(zip(*rows, strict=True)), list(zip(*others, strict=True))
    values = [(set(a), set(b)) for a, b in zip(columns, further, strict=True)]
    shared = [len(a & b) >= max(1, _COMMON * min(len(a), len(b))) for a, b in values]
    kept = [k for k, both in enumerate(shared) if both]
    foreign = [k for k, both in enumerate(shared) if not both and (any(columns[k]) or any(further[k]))]
    if not foreign or not any(len({*columns[k], *further[k]}) > 1 for k in kept):
        return None
    one, other = (segments(plain(labels[0]))[foreign[0]] for labels in (visible, infrared))
    reading = _match(
        SHARED,
        [tuple(word for k in kept for word in row[k]) for row in rows],
        [tuple(word for k in kept for word in row[k]) for row in others],
        f"'{one}' and '{other}' in the names are left out, since nothing like them is in the other camera's names",
    )
    for k in foreign:  # ids of one clip must go with ids of one clip
        ids: dict[tuple[str, ...], tuple[str, ...]] = {}
        back: dict[tuple[str, ...], tuple[str, ...]] = {}
        for v, i in reading.partners.items():
            if ids.setdefault(rows[v][k], others[i][k]) != others[i][k]:
                return Reading(reading.rule, {}, [([v], [i])])
            if back.setdefault(others[i][k], rows[v][k]) != rows[v][k]:
                return Reading(reading.rule, {}, [([v], [i])])
    return reading


def _rows(labels: Sequence[Label], camera: Camera, own: frozenset[str]) -> list[list[Key]]:
    """The segments of each name, without the camera's marker and its own words."""
    return [[key_of((piece,), camera, True, own) for piece in segments(plain(label))] for label in labels]


def counters_apart(visible: Sequence[Label], infrared: Sequence[Label]) -> str | None:
    """Doubt if names of both cameras are plain counters, with few gaps, that differ; else None."""
    first, last, count = [], [], []
    for labels in (visible, infrared):
        numbers = [re.findall(r"\d+", label[-1]) for label in labels]
        if {len(row) for row in numbers} != {1} or len(numbers) < 2:
            return None
        flat = {int(row[0]) for row in numbers}
        first.append(min(flat))
        last.append(max(flat))
        count.append(len(flat))
        if count[-1] != len(numbers) or count[-1] < _WHOLE * (last[-1] - first[-1] + 1):
            return None
    if first[0] - first[1] == last[0] - last[1] != 0:
        return (
            f"visible names count from {first[0]} to {last[0]}, infrared ones from {first[1]} to {last[1]}: equal "
            "numbers are paired, which is wrong if both cameras began together"
        )
    gapless = all(n == b - a + 1 for a, b, n in zip(first, last, count, strict=True))
    if gapless and first[0] == first[1] and max(count) > _OTHER_RATE * min(count) and max(count) - min(count) > _FEW:
        return (
            f"both cameras' names count from {first[0]}, but {count[0]} visible and {count[1]} infrared images: equal "
            "numbers are paired, which is wrong if the cameras ran at different rates"
        )
    return None
