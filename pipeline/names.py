"""Pairs images and clips of the two cameras by their file names.

A camera marker is a part of a name that tells the camera: vis, visible, rgb, vi, color for the visible one; ir,
infrared, thermal, lwir, t for the infrared one, as a whole part between `_`, `-`, `.`, spaces or digits, in any case.
"""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from .errors import InputError
from .frames import Camera

Rule = Literal["equal names", "names without the camera marker", "index"]
Key = TypeVar("Key", bound=Hashable)

# In order of preference: `t` is common as an ordinary part of a name, so it counts only where nothing clearer does.
_MARKERS: dict[Camera, tuple[frozenset[str], ...]] = {
    "visible": (frozenset({"vis", "visible", "rgb", "vi", "color"}),),
    "infrared": (frozenset({"ir", "infrared", "thermal", "lwir"}), frozenset({"t"})),
}


@dataclass(frozen=True, slots=True)
class NamePairs:
    """Which infrared image goes with each visible one.

    pairs: for each visible index, in order, the infrared index or None. unused_infrared: indices that no visible
    image took. rule: how they were found.
    """

    pairs: list[tuple[int, int | None]]
    unused_infrared: list[int]
    rule: Rule

    @property
    def summary(self) -> str:
        """One line for the person."""
        paired = sum(i is not None for _, i in self.pairs)
        line = f"{paired} image pairs by {self.rule}"
        left = [(len(self.pairs) - paired, "visible"), (len(self.unused_infrared), "infrared")]
        rest = [f"{count} {camera}" for count, camera in left if count]
        return f"{line}; without a partner: {' and '.join(rest)}" if rest else line


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two clips of one scene; `name` is unique among the pairs found together, whatever the case of letters.

    name: with `/` between folders, where those count.
    """

    name: str
    infrared: Path
    visible: Path


def pair_names(visible: Sequence[str], infrared: Sequence[str]) -> NamePairs:
    """Pair the images of two folders, given their file stems in order.

    By equal stems, or by stems without the camera marker if that pairs more; by index if no name pairs. Stems that
    occur more than once pair in order of occurrence. Nothing is dropped: what has no partner is in the result.
    """
    by_name = _match(visible, infrared)
    by_marker = _match([_split(s, "visible").key for s in visible], [_split(s, "infrared").key for s in infrared])
    if by_name and len(by_name) >= len(by_marker):
        partners = by_name
        rule: Rule = "equal names"
    elif by_marker:
        partners, rule = by_marker, "names without the camera marker"
    else:
        partners, rule = {k: k for k in range(min(len(visible), len(infrared)))}, "index"
    taken = set(partners.values())
    pairs = [(v, partners.get(v)) for v in range(len(visible))]
    return NamePairs(pairs, [i for i in range(len(infrared)) if i not in taken], rule)


def pair_clips(
    infrared: Sequence[Path], visible: Sequence[Path], patterns: tuple[str, str] | None = None
) -> tuple[list[ClipPair], list[Path]]:
    """Pair clips (files or folders) by name, and return what has no partner.

    The same name in both, or the same name once the camera marker is taken off: `x_ir.mp4` with `x_vis.mp4`, or with
    `x.mp4`. A path in both lists (one folder given for both cameras) belongs to the camera of its marker, to the
    visible one without a marker. Raises InputError where more than one clip fits, naming them.
    patterns: that the infrared and the visible clips match, each with signs in its folders. Then a clip's name is what
    the signs stand for: with `d*/cam0.mp4` and `d*/cam1.mp4` `d1/cam0.mp4` goes with `d1/cam1.mp4`, as `d1`.
    """
    heat_labels, labels = (
        {path: (_stem(path),) if patterns is None else _by_signs(path, patterns[side]) for path in paths}
        for side, paths in enumerate((infrared, visible))
    )
    both = set(infrared) & set(visible)
    thermal = {path for path in both if _belongs_to_infrared(heat_labels[path])}
    infrared = [path for path in dict.fromkeys(infrared) if path not in both or path in thermal]
    visible = [path for path in dict.fromkeys(visible) if path not in thermal]

    partners: dict[Path, Path] = {}
    names: dict[Path, str] = {}
    deepest = max(map(len, (*heat_labels.values(), *labels.values())), default=0)
    for depth in sorted({0, 1, deepest}):  # as they are, then without the file's marker, then without the folders'
        taken = set(partners.values())
        seen = {path: _without_markers(labels[path], "visible", depth) for path in visible if path not in partners}
        heat = {path: _without_markers(heat_labels[path], "infrared", depth) for path in infrared if path not in taken}
        found = _unique_partners({p: key for p, (_, key) in seen.items()}, {p: key for p, (_, key) in heat.items()})
        names |= {path: seen[path][0] or "/".join(labels[path]) for path in found}
        partners |= found
    pairs: dict[str, ClipPair] = {}
    for path in visible:
        if path in partners:
            name = names[path]
            pair = pairs.setdefault(name.casefold(), ClipPair(name, partners[path], path))
            if pair.visible != path:
                raise _ambiguous([pair.visible, path], name)
    used = set(partners) | set(partners.values())
    return list(pairs.values()), [path for path in [*infrared, *visible] if path not in used]


Label = tuple[str, ...]
"""What a clip is known by: folders, where they count, and the name without its suffix, where that does."""


def _by_signs(path: Path, pattern: str) -> Label:
    """What the pattern's signs stand for in a path that matches it; of `**` on, all that follows."""
    parts, signs = (*path.parts[:-1], path.stem), Path(pattern).parts
    first = signs.index("**") if "**" in signs else len(signs)
    found = tuple(part for part, sign in zip(parts[:first], signs, strict=False) if glob.has_magic(sign))
    return (*found, *parts[first:])


def _without_markers(label: Label, camera: Camera, depth: int) -> tuple[str, Hashable]:
    """A label without the markers in its last `depth` parts: as text, and for comparison."""
    kept = max(0, len(label) - depth)
    split = [_split(part, camera) for part in label[kept:]]
    text = "/".join((*label[:kept], *(part.rest for part in split if part.rest)))
    return text, (*label[:kept], *(part.key for part in split if part.key))


@dataclass(frozen=True, slots=True)
class _Split:
    """A name without its marker: as text, and as its parts in lower case for comparison."""

    rest: str
    key: tuple[str, ...]
    marker: int | None
    rank: int


def _split(stem: str, camera: Camera) -> _Split:
    """Take one marker of `camera` off a name: the clearest, and of those the last, else the first, else any."""
    parts = list(re.finditer(r"[^\W\d_]+|\d+", stem))
    words = [part.group().casefold() for part in parts]
    for rank, markers in enumerate(_MARKERS[camera]):
        for k in (len(words) - 1, *range(len(words) - 1)):
            if k >= 0 and words[k] in markers:
                before, after = stem[: parts[k].start()], stem[parts[k].end() :]
                joint = "" if not before or not after else before[-1] if not before[-1].isalnum() else ""
                rest = before.rstrip("_-. ") + joint + after.lstrip("_-. ")
                return _Split(rest, (*words[:k], *words[k + 1 :]), k, rank)
    return _Split(stem, tuple(words), None, 0)


def _belongs_to_infrared(label: Label) -> bool:
    for part in reversed(label):
        infrared, visible = _split(part, "infrared"), _split(part, "visible")
        if infrared.marker is not None and visible.marker is not None:
            return infrared.rank == 0 and infrared.marker > visible.marker
        if infrared.marker is not None or visible.marker is not None:
            return infrared.marker is not None
    return False


def _match(visible: Sequence[Key], infrared: Sequence[Key]) -> dict[int, int]:
    """Visible index to infrared index where keys are equal; the n-th occurrence goes with the n-th."""
    places: defaultdict[Key, list[int]] = defaultdict(list)
    for i in range(len(infrared) - 1, -1, -1):
        places[infrared[i]].append(i)
    return {v: places[key].pop() for v, key in enumerate(visible) if places.get(key)}


def _unique_partners(visible: dict[Path, Key], infrared: dict[Path, Key]) -> dict[Path, Path]:
    """Visible path to infrared path where keys are equal. Raises InputError where a key is not unique."""
    groups: defaultdict[Key, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for side, paths in enumerate((visible, infrared)):
        for path, key in paths.items():
            groups[key][side].append(path)
    partners = {}
    for seen, heat in groups.values():
        if seen and heat:
            if len(seen) > 1 or len(heat) > 1:
                raise _ambiguous(seen if len(seen) > 1 else heat, _stem((heat if len(seen) > 1 else seen)[0]))
            partners[seen[0]] = heat[0]
    return partners


def _ambiguous(paths: list[Path], name: str) -> InputError:
    listed = ", ".join(str(path) for path in paths)
    return InputError(f"{listed}: more than one clip fits '{name}'; rename or remove all but one")


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem
