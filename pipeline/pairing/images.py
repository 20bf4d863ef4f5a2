"""Pairs the images of two folders by their names, by capture times or by a table of the user, else by position with a
doubt. If no rule applies, or two give different pairs, it raises an InputError that asks for a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from .labels import Label
from .readings import Reading, by_columns, by_names, counters_apart
from .stamps import Stamps, nearest, stamps_in_names, without_times
from .table import PairTable

ASK = "name the pairs in a CSV file, columns visible,infrared, and give it with --pairs"
_SHOWN = 3
_SAME_SHOT_NS = 2_000_000_000
_SURE_NS = 10_000_000
"""Largest difference of the times of one pair that is certain at any frame rate."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Capture times in ns by which images were paired, None for images without; and the largest difference."""

    visible: list[int | None]
    infrared: list[int | None]
    tolerance_ns: int


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which infrared image goes with each visible one.

    pairs: for each visible index, in order, the infrared index or None; of images paired by time, one infrared image
    may be with several. unused_infrared: indices that no visible image took. rule: rule that was used. summary: one
    line to print. notes: further messages. doubts: assumptions that may make a pair wrong. timing: capture times, of
    images paired by time.
    """

    pairs: list[tuple[int, int | None]]
    unused_infrared: list[int]
    rule: str
    summary: str
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    timing: Timing | None = None


def pair_images(
    visible: Sequence[Label],
    infrared: Sequence[Label],
    *,
    sources: tuple[str, str] = ("visible", "infrared"),
    table: PairTable | None = None,
    stamps: tuple[Stamps | None, Stamps | None] = (None, None),
    offset_ns: int = 0,
    by_position: bool = True,
) -> Pairing:
    """Pair the images of two folders, given their labels in order.

    These rules are tried, strictest first; the one that pairs most images wins, of equals the strictest: equal names;
    equal words and numbers; names without the camera's marker; names without words that every name of one camera has
    and none of the other; capture times. Images without a partner are listed in the result.

    Args:
        visible: Labels of the visible images.
        infrared: Labels of the infrared images.
        sources: What the user called the two, for messages.
        table: Pairs that the user gives; nothing else is tried then.
        stamps: Times from files beside the folders. They decide where both are given.
        offset_ns: Added to infrared times.
        by_position: Whether lists of one length that share nothing may pair by position, with a doubt.

    Raises:
        InputError: No rule pairs the images, or two rules give different pairs.
    """
    where = f"{sources[0]}, {sources[1]}"
    if table is not None:
        table = table.fitting(visible, infrared, sources)
        if table.partners is not None:
            return _finish(visible, infrared, Reading(table.source, table.partners, note=table.note), where, given=True)
    mapped = visible if table is None else table.mapped(visible)
    readings = list(by_names(mapped, infrared))
    best = max(readings, key=lambda reading: len(reading.partners))  # the first of equals, which is the strictest
    fewer = min(len(visible), len(infrared))
    few = 2 * len(best.partners) < fewer
    clocked = few and _clocked(mapped, infrared)
    if clocked and (counted := _beside_times(mapped, infrared)) is not None:
        best, few = counted, False
    lax = by_columns(mapped, infrared) if few and not clocked else None
    if lax is not None and len(lax.partners) > len(best.partners):
        best = Reading(
            lax.rule, lax.partners, lax.ambiguous, None if table else lax.doubt, lax.doubt if table else None
        )
    timed = _by_time(mapped, infrared, stamps, offset_ns, best)
    if timed is not None:
        return _finish(visible, infrared, timed[0], where, timed[1])
    ambiguous = best.ambiguous or (lax.ambiguous if lax is not None and not best.partners else [])
    if ambiguous:
        seen, felt = ambiguous[0]
        one, other = _text(visible[seen[0]]), _text(infrared[felt[0]])
        reason = f"the names do not tell whether {one} belongs to {other}"
        if len(seen) > 1:
            reason = f"{_listed([visible[v] for v in seen])} fit {other} equally well"
        elif len(felt) > 1:
            reason = f"{_listed([infrared[i] for i in felt])} fit {one} equally well"
        raise InputError(f"{where}: {reason}: {ASK}, or give one kind only, by a pattern like 'DIR/*_W.JPG'")
    for rival in readings:
        differs = rival.contradicts(best.partners)
        if differs is not None and len(rival.partners) == len(best.partners) < fewer:
            raise InputError(
                f"{where}: {best.rule} and {rival.rule} pair equally many images, but differently, "
                f"{_text(visible[differs])} first: {ASK}"
            )
    if clocked and not best.partners:
        raise InputError(
            f"{where}: the names are capture times, but none of the two cameras are near each other: if their clocks "
            "differ, give --offset-ms (added to infrared times)"
        )
    if not best.partners and fewer:
        return _by_position(visible, infrared, where, by_position)
    return _finish(visible, infrared, best, where)


def _by_time(
    visible: Sequence[Label],
    infrared: Sequence[Label],
    beside: tuple[Stamps | None, Stamps | None],
    offset_ns: int,
    names: Reading,
) -> tuple[Reading, Timing] | None:
    """Pairs by nearest capture time. None if times are unknown, or do not pair more images than the names."""
    pairs = [(a, b) for a, b in [beside] if a is not None and b is not None]
    if pairs and pairs[0][0].source == pairs[0][1].source and pairs[0][0].source.endswith(".txt"):
        pairs = []  # one list of times for both folders adds nothing to the names
    given = bool(pairs)
    if not given and len(names.partners) < len(visible):
        ways = stamps_in_names(visible), stamps_in_names(infrared)
        pairs = [(a, b) for a in ways[0] for b in ways[1] if a.kind == b.kind]
    for seen, felt in pairs:
        steps = seen.kind == "steps"
        if steps and not (seen.steady and felt.steady):
            continue
        partners, tolerance = nearest(seen, felt, 0 if steps else offset_ns)
        found = Reading(seen.source, {v: i for v, i in enumerate(partners) if i is not None})
        differs = found.contradicts(names.partners) if given else None
        if not found.partners or (len(found.partners) <= len(names.partners) and differs is None):
            continue
        if steps and 2 * len(names.partners) >= min(len(visible), len(infrared)):
            continue
        doubt = note = None
        if differs is not None:
            line = f"equal names would pair {_text(visible[differs])} otherwise; the {seen.source} are followed"
            whole = 10 * len(found.partners) >= 8 * min(len(visible), len(infrared))
            doubt, note = (None, line) if whole else (line, None)
        if steps:
            skews = sorted(abs(_known(seen, v) - _known(felt, i)) for v, i in found.partners.items())
            line = f"the numbers in the names are taken for times, in steps of {seen.period_ns} and {felt.period_ns}"
            doubt, note = (None, line) if skews[len(skews) // 2] * 4 <= felt.period_ns else (line, None)
        elif doubt is None and not given and seen.whole and felt.whole:
            doubt = f"the {seen.source} are whole seconds, too coarse for frames, and nothing else in them agrees"
        elif doubt is None and (seen.few or felt.few) and _widest(seen, felt, found, offset_ns) > _SURE_NS:
            doubt = f"the {seen.source} are too few to tell the cameras' rates: the nearest are paired"
        scale = 1_000_000 if steps else 1
        seen_times, felt_times = ([None if t is None else t * scale for t in side.times] for side in (seen, felt))
        timing = Timing(seen_times, felt_times, tolerance * scale)
        return Reading(found.rule, found.partners, doubt=doubt, note=note), timing
    return None


def _beside_times(visible: Sequence[Label], infrared: Sequence[Label]) -> Reading | None:
    """Pairs by the rest of names with capture times of whole seconds, which may differ by two seconds in one shot (DJI
    writes time and number). None if any pair differs by more."""
    for kind in ("epoch", "date"):
        clocks = [next((s for s in stamps_in_names(labels) if s.kind == kind), None) for labels in (visible, infrared)]
        if clocks[0] is None or clocks[1] is None or not (clocks[0].whole and clocks[1].whole):
            continue
        rest = list(by_names(*([without_times(label) for label in labels] for labels in (visible, infrared))))
        best = max(rest, key=lambda reading: len(reading.partners))
        apart = [abs(_known(clocks[0], v) - _known(clocks[1], i)) for v, i in best.partners.items()]
        if 2 * len(apart) >= min(len(visible), len(infrared)) and max(apart, default=0) <= _SAME_SHOT_NS:
            return best
    return None


def _clocked(visible: Sequence[Label], infrared: Sequence[Label]) -> bool:
    """Whether both cameras' names are capture times of one kind."""
    kinds = [{stamps.kind for stamps in stamps_in_names(labels)} - {"steps"} for labels in (visible, infrared)]
    return bool(kinds[0] & kinds[1])


def _widest(visible: Stamps, infrared: Stamps, found: Reading, offset_ns: int) -> int:
    return max(abs(_known(visible, v) - _known(infrared, i) - offset_ns) for v, i in found.partners.items())


def _known(stamps: Stamps, index: int) -> int:
    return stamps.times[index] or 0


def _by_position(visible: Sequence[Label], infrared: Sequence[Label], where: str, allowed: bool) -> Pairing:
    if not allowed or len(visible) != len(infrared):
        raise InputError(
            f"{where}: {len(visible)} visible and {len(infrared)} infrared images whose names share nothing that tells "
            f"which belong together, such as {_text(visible[0])} and {_text(infrared[0])}: {ASK}"
        )
    doubt = None
    if len(visible) > 1:
        first = f"{_text(visible[0])} with {_text(infrared[0])}"
        doubt = f"the names share nothing, so images are paired by position, {first} and so on"
    partners = {k: k for k in range(len(visible))}
    return _finish(visible, infrared, Reading("position", partners, doubt=doubt), where, given=len(visible) == 1)


def _finish(
    visible: Sequence[Label],
    infrared: Sequence[Label],
    reading: Reading,
    where: str,
    timing: Timing | None = None,
    given: bool = False,
) -> Pairing:
    """given: the user specified the pairs; images without a partner cause no doubt."""
    partners = reading.partners
    taken = set(partners.values())
    pairs = [(v, partners.get(v)) for v in range(len(visible))]
    unused = [i for i in range(len(infrared)) if i not in taken]
    alone = [v for v, i in pairs if i is None]
    summary = f"{len(partners)} image pair{'s' if len(partners) != 1 else ''} by {reading.rule}"
    left = [(alone, visible, "visible"), (unused, infrared, "infrared")]
    rest = [f"{len(which)} {camera} ({_listed([labels[k] for k in which])})" for which, labels, camera in left if which]
    if rest:
        summary += f"; without a partner: {' and '.join(rest)}"
    doubts = [] if reading.doubt is None else [reading.doubt]
    if not given and timing is None and (apart := counters_apart(visible, infrared)):
        doubts.append(apart)
    if not given and 2 * min(len(partners), len(taken)) < min(len(visible), len(infrared)):
        doubts.append(f"only {summary}")
    if timing is not None and (untimed := [visible[v] for v, time in enumerate(timing.visible) if time is None]):
        doubts.append(f"{len(untimed)} visible without a capture time left out ({_listed(untimed)})")
    doubts = [f"{where}: {line}; if that is wrong, {ASK}" for line in doubts]
    notes = [] if reading.note is None else [f"{where}: {reading.note}"]
    return Pairing(pairs, unused, reading.rule, summary, notes, doubts, timing)


def _listed(labels: Sequence[Label]) -> str:
    more = ", ..." if len(labels) > _SHOWN else ""
    return ", ".join(_text(label) for label in labels[:_SHOWN]) + more


def _text(label: Label) -> str:
    return "/".join(label)
