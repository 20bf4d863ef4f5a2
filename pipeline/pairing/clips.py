"""Pairs the clips of a batch by name, never by position, and only if unambiguous."""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..core.frames import Camera
from ..errors import InputError
from .images import pair_images
from .labels import Label, belongs_to_infrared, key_of, own_words, split_marker
from .readings import learned
from .table import PairTable

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two clips of one scene; `name` is unique among the pairs found together, ignoring case.

    name: with `/` between folders, where those count.
    """

    name: str
    infrared: Path
    visible: Path


def pair_clips(
    infrared: Sequence[Path],
    visible: Sequence[Path],
    patterns: tuple[str, str] | None = None,
    table: PairTable | None = None,
) -> tuple[list[ClipPair], list[Path], list[str]]:
    """Pair clips (files or folders) by name. Returns the pairs, the clips without a partner, and doubts about a table.

    Clips are paired if their names are equal, or equal without the camera marker (`x_ir.mp4` with `x_vis.mp4` or
    `x.mp4`), or equal without the words that every clip of one camera has and none of the other. A path in both lists
    (one folder given for both cameras) belongs to the camera of its marker, without a marker to the visible one.

    Args:
        infrared: paths of the infrared clips.
        visible: paths of the visible clips.
        patterns: glob patterns of the infrared and the visible clips, with wildcards in their folders. A clip's name is
            then the text that the wildcards match: with `d*/cam0.mp4` and `d*/cam1.mp4`, `d1/cam0.mp4` is paired with
            `d1/cam1.mp4`, as `d1`.
        table: pairs of the user, which replace these rules.

    Raises:
        InputError: more than one clip fits; they are named.
    """
    heat_labels, labels = (
        {path: (_stem(path),) if patterns is None else _by_signs(path, patterns[side]) for path in paths}
        for side, paths in enumerate((infrared, visible))
    )
    both = set(infrared) & set(visible)
    thermal = {path for path in both if belongs_to_infrared(heat_labels[path])}
    infrared = [path for path in dict.fromkeys(infrared) if path not in both or path in thermal]
    visible = [path for path in dict.fromkeys(visible) if path not in thermal]

    if table is not None:
        partners, names, doubts = _by_table(infrared, visible, heat_labels, labels, table)
    else:
        doubts = []
        partners, names = _by_name(infrared, visible, heat_labels, labels)
    pairs: dict[str, ClipPair] = {}
    for path in visible:
        if path in partners:
            name = names[path]
            pair = pairs.setdefault(name.casefold(), ClipPair(name, partners[path], path))
            if pair.visible != path:
                raise InputError(
                    f"{pair.visible}, {path}: their results would have one name, '{name}' (case does not count); "
                    "rename one"
                )
    used = set(partners) | set(partners.values())
    return list(pairs.values()), [path for path in [*infrared, *visible] if path not in used], doubts


def _by_table(
    infrared: Sequence[Path],
    visible: Sequence[Path],
    heat_labels: dict[Path, Label],
    labels: dict[Path, Label],
    table: PairTable,
) -> tuple[dict[Path, Path], dict[Path, str], list[str]]:
    found = pair_images(
        [(*path.parts[:-1], _stem(path)) for path in visible],
        [(*path.parts[:-1], _stem(path)) for path in infrared],
        sources=("the visible clips", "the infrared clips"),
        table=table,
        by_position=False,
    )
    partners = {visible[v]: infrared[i] for v, i in found.pairs if i is not None}
    names = {}
    for path, partner in partners.items():  # as without a table
        depth = int(labels[path] != heat_labels[partner])
        names[path] = _without_markers(labels[path], "visible", depth)[0] or "/".join(labels[path])
    return partners, names, found.notes if found.rule == table.source else found.doubts


def _by_name(
    infrared: Sequence[Path], visible: Sequence[Path], heat_labels: dict[Path, Label], labels: dict[Path, Label]
) -> tuple[dict[Path, Path], dict[Path, str]]:
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
    if not partners:  # unknown markers: words that the recorders write into every name
        own = own_words(list(labels.values()), list(heat_labels.values()))
        heat_own = own_words(list(heat_labels.values()), list(labels.values()))
        doubt, _ = learned((own, heat_own), len(visible), len(infrared))
        if min(len(visible), len(infrared)) > 1 and doubt is None and (own or heat_own):
            partners = _unique_partners(
                {path: key_of(labels[path], without=own) for path in visible},
                {path: key_of(heat_labels[path], without=heat_own) for path in infrared},
            )
            names = {path: "/".join(labels[path]) for path in partners}
    return partners, names


def _by_signs(path: Path, pattern: str) -> Label:
    """The parts of a path that the pattern's wildcards match; from `**` on, all that follows."""
    parts, signs = (*path.parts[:-1], path.stem), Path(pattern).parts
    first = signs.index("**") if "**" in signs else len(signs)
    found = tuple(part for part, sign in zip(parts[:first], signs, strict=False) if glob.has_magic(sign))
    return (*found, *parts[first:])


def _without_markers(label: Label, camera: Camera, depth: int) -> tuple[str, Hashable]:
    """A label without the markers in its last `depth` parts: as text, and for comparison."""
    kept = max(0, len(label) - depth)
    split = [split_marker(part, camera) for part in label[kept:]]
    text = "/".join((*label[:kept], *(part.rest for part in split if part.rest)))
    return text, (*label[:kept], *(part.key for part in split if part.key))


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
    return InputError(
        f"{listed}: more than one clip fits '{name}'; rename or remove all but one, or name the pairs in a CSV file "
        "with --pairs"
    )


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem
