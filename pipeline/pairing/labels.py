"""Parsing of names: folders, segments, words, numbers, and camera markers.

A camera marker is a word of a name that identifies the camera, as a whole part between `_`, `-`, `.`, spaces or digits,
in any case: `DJI_0001_T`, `IRX_0001`, `VIS001`. Clear markers are removed at any position. Faint ones (`t`, `i`, `co`)
are common as ordinary parts of a name and are used only if there is no clear one.
"""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from ..core.frames import Camera

Label = tuple[str, ...]
"""Identification of an image or clip: folders, where they matter, and the name without its suffix."""
Key = tuple[str, ...]
"""Words in lower case and numbers without leading zeros, ready to be compared."""

MARKERS: dict[Camera, tuple[frozenset[str], ...]] = {
    "visible": (
        frozenset(
            {"vis", "visible", "rgb", "vi", "color", "colour", "visual", "optical", "eo"}
            | {"trainimg", "valimg", "testimg"}
        ),
        frozenset({"v", "w", "z", "wide", "zoom", "co", "max", "left", "right"}),
    ),
    "infrared": (
        frozenset(
            {"ir", "infrared", "thermal", "lwir", "mwir", "fir", "tir", "thrm", "irx", "previewdata", "cropinfrared"}
            | {"trainimgr", "valimgr", "testimgr"}
        ),
        frozenset({"t", "i", "inf", "left", "right"}),
    ),
}
"""Markers of common recorders and public data sets: clear ones, faint ones. DJI: T, W, Z, V, THRM, WIDE, ZOOM.
Autel: IRX, MAX. FLIR ADAS: PreviewData. DroneVehicle: trainimg, trainimgr. VEDAI: co."""
_LONG = 5
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_EXPORT = re.compile(r"_(?:jpe?g|png|bmp|tiff?)\.rf\.[0-9a-f]{32}$", re.IGNORECASE)
"""Suffix that Roboflow adds to exported names: the old suffix, and a hash of the file."""


def labels_of(paths: Sequence[Path], spec: str) -> list[Label]:
    """Labels of images: folders count below that of `spec`, a folder or a pattern, and the name without its suffix."""
    base = Path(spec).expanduser()
    if not base.is_dir():
        base = Path(*takewhile(lambda part: not glob.has_magic(part), base.parts))
    return [_label(path, base) for path in paths]


def _label(path: Path, base: Path) -> Label:
    folders = path.parent.relative_to(base).parts if path.is_relative_to(base) and path != base else ()
    return (*folders, path.stem)


@dataclass(frozen=True, slots=True)
class Split:
    """A name without its marker: as text, and as its parts for comparison.

    marker: which word it was, None for none. rank: 0 for a clear marker, 1 for a faint one.
    """

    rest: str
    key: Key
    marker: int | None
    rank: int


@lru_cache(1 << 16)  # folders are the same for many images
def split_marker(part: str, camera: Camera, faint: bool = True) -> Split:
    """Remove one marker of `camera` from a name: a clear one before a faint one, the last word before the first."""
    tokens = list(_TOKEN.finditer(part))
    words = [_normal(part, token) for token in tokens]
    for rank, markers in enumerate(MARKERS[camera][: 1 + faint]):
        for k in (len(words) - 1, *range(len(words) - 1)):
            if k >= 0 and words[k] in markers:
                before, after = part[: tokens[k].start()], part[tokens[k].end() :]
                joint = "" if not before or not after else before[-1] if not before[-1].isalnum() else ""
                rest = before.rstrip("_-. ") + joint + after.lstrip("_-. ")
                return Split(rest, (*words[:k], *words[k + 1 :]), k, rank)
    return Split(part, tuple(words), None, 0)


def _normal(part: str, token: re.Match[str]) -> str:
    """A word in lower case, a number without leading zeros; of decimals, `.5` and `.05` stay apart."""
    text = token.group()
    if not text.isdecimal():
        return text.casefold()
    at = token.start()
    if at >= 2 and part[at - 1] == "." and part[at - 2].isdecimal():
        return "." + text.rstrip("0")
    return str(int(text))


def is_marker(word: str, camera: Camera) -> bool:
    """Whether a word in lower case is a marker of this camera."""
    return any(word in markers for markers in MARKERS[camera])


def names_camera(word: str, camera: Camera) -> bool:
    """Whether a word in lower case is a marker of this camera, or begins or ends with a long one (`thermalimage`)."""
    long = [marker for marker in MARKERS[camera][0] if len(marker) >= _LONG]
    return is_marker(word, camera) or any(word.startswith(marker) or word.endswith(marker) for marker in long)


def segments(label: Label) -> list[str]:
    """The parts of a label between separators."""
    return [piece for part in label for piece in re.split(r"[\W_]+", part) if piece]


def plain(label: Label) -> Label:
    """A label without what an export tool has added to its name."""
    return (*label[:-1], _EXPORT.sub("", label[-1])) if label else label


def key_of(
    label: Label, camera: Camera | None = None, faint: bool = False, without: frozenset[str] = frozenset()
) -> Key:
    """Key of a label. camera: remove its marker from every part. without: words to remove."""
    words: list[str] = []
    for part in label:
        words += split_marker(part, camera, faint).key if camera else words_of(part)
    return tuple(word for word in words if word not in without)


@lru_cache(1 << 16)
def words_of(part: str) -> Key:
    """All words and numbers of a name."""
    return tuple(_normal(part, token) for token in _TOKEN.finditer(part))


def own_words(labels: Sequence[Label], others: Iterable[Label]) -> frozenset[str]:
    """Words that every name of one camera has and no name of the other, written by its recorder.

    Names of another form (`readme`, thumbnails) are ignored: those with another number of segments than most. Empty if
    fewer than four in five names have the most frequent number.
    """
    counts = Counter(len(segments(label)) for label in labels)
    if not counts:
        return frozenset()
    usual, times = counts.most_common(1)[0]
    if times * 5 < len(labels) * 4:
        return frozenset()
    alike = [set(key_of(label)) for label in labels if len(segments(label)) == usual]
    common = {word for word in set.intersection(*alike) if not word.lstrip(".").isdecimal()}
    return frozenset(common.difference(*(key_of(label) for label in others)))


def camera_of(label: Label) -> Camera | None:
    """Camera of an image by the markers in its folders and its name; None without a marker.

    The order is: a folder whose whole name is a marker (`T`, `lwir`), the deepest first; a clear marker in the name, or
    in a folder (`crop_LR_visible`); a faint marker in the name.
    """
    cameras: tuple[Camera, Camera] = ("infrared", "visible")
    whole = [(words_of(part), part) for part in reversed(label[:-1])]
    found = [c for words, _ in whole if len(words) == 1 for c in cameras if is_marker(words[0], c)]
    for part, faint in ((label[-1], False), *((part, False) for _, part in whole), (label[-1], True)):
        found += [c for c in cameras if split_marker(part, c, faint).marker is not None]
    return found[0] if found else None


def belongs_to_infrared(label: Label) -> bool:
    """Whether a clip or image given for both cameras is the infrared one by its marker; False without a marker."""
    for part in reversed(label):
        infrared, visible = split_marker(part, "infrared"), split_marker(part, "visible")
        if infrared.marker is not None and visible.marker is not None:
            if infrared.rank != visible.rank:
                return infrared.rank < visible.rank
            return infrared.rank == 0 and infrared.marker > visible.marker
        if infrared.marker is not None or visible.marker is not None:
            return infrared.marker is not None
    return False
