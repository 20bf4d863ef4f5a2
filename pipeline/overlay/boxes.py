"""Boxes and their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2

from ..core.detections import Detection
from ..core.frames import Pixels
from .ink import BRIGHT, DIM, Colour, class_colour, draw_text, line_width, shade
from .text import text_mask

_TAG_SHADE = 0.22  # of the image under a label
_EDGE_SHADE = 0.55  # of the image beside the lines, for contrast on a bright background
_WIDEST = 2.5  # largest width of a label, in heights of its box
_SMALL = 5  # text heights; smaller boxes are not covered by labels
Area = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels."""
Words = tuple[tuple[str, Colour], ...]
Inks = list[tuple[Pixels, Colour]]
"""A label's words as masks, each with its colour."""


def draw_boxes(image: Pixels, detections: Sequence[Detection], size: int, ceiling: int) -> None:
    """Boxes in the colours of their classes, the best score on top, of those that coast the corners; labels where they
    cover neither one another nor a small object.

    size: of the text. ceiling: the first row that labels may use. Where every place is taken, and at small boxes, a
    label is shortened, then left out: the colour still shows the class.
    """
    found = [(d, box) for d in sorted(detections, key=lambda d: d.score) if (box := visible_part(d, image))]
    for detection, box in found:
        draw = _draw_corners if detection.coasted else _draw_box
        draw(image, box, class_colour(detection.label))
    small = [box for _, box in found if box[3] - box[1] < _SMALL * size]
    taken: list[Area] = []
    for detection, box in reversed(found):
        label = _place_label(image, detection, box, size, ceiling, taken, small)
        if label is not None:
            taken.append(label[0])
            _draw_label(image, *label, _gap(size))


def visible_part(found: Detection, image: Pixels) -> Area | None:
    """Part of the box inside the image, in whole pixels; None if empty."""
    height, width = image.shape[:2]
    if not all(map(math.isfinite, found.box)):
        return None
    x1, x2 = (round(min(max(x, 0), width - 1)) for x in (found.box[0], found.box[2]))
    y1, y2 = (round(min(max(y, 0), height - 1)) for y in (found.box[1], found.box[3]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _draw_box(image: Pixels, box: Area, colour: Colour) -> None:
    x1, y1, x2, y2 = box
    line = line_width(image)
    near, far = line // 2 + line, line // 2 + line + 1
    left, top = max(0, x1 - near), max(0, y1 - near)
    for place in (
        image[top : y1 + far, left : x2 + far],
        image[max(0, y2 - near) : y2 + far, left : x2 + far],
        image[y1 + far : max(0, y2 - near), left : x1 + far],
        image[y1 + far : max(0, y2 - near), max(0, x2 - near) : x2 + far],
    ):
        shade(place, _EDGE_SHADE)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, line)


def _draw_corners(image: Pixels, box: Area, colour: Colour) -> None:
    x1, y1, x2, y2 = box
    line = line_width(image)
    across, down = max(2, (x2 - x1) // 4), max(2, (y2 - y1) // 4)
    for x, to_x in ((x1, x1 + across), (x2, x2 - across)):
        for y, to_y in ((y1, y1 + down), (y2, y2 - down)):
            cv2.line(image, (x, y), (to_x, y), colour, line)
            cv2.line(image, (x, y), (x, to_y), colour, line)


def _place_label(
    image: Pixels, found: Detection, box: Area, size: int, ceiling: int, taken: list[Area], small: list[Area]
) -> tuple[Area, Inks] | None:
    """Place and text of a label. taken: areas of labels already drawn. small: boxes not to be hidden."""
    height, width = image.shape[:2]
    pad, widest = _gap(size), max(_WIDEST * (box[3] - box[1]), 1.5 * (box[2] - box[0]))
    wordings = [[(text_mask(text, size), ink) for text, ink in words] for words in _wordings(found)]
    for hiding, masks in [(False, masks) for masks in wordings] + [(True, wordings[-1])]:
        tag_width = min(width, sum(mask.shape[1] + pad for mask, _ in masks) + pad)
        tag_height = min(height, masks[0][0].shape[0] + pad // 3)
        if tag_width > widest and masks is not wordings[-1]:
            continue
        for left, top in _places(box, tag_width, tag_height, line_width(image)):
            x, y = max(0, min(left, width - tag_width)), max(min(ceiling, height - tag_height), top)
            y = min(y, height - tag_height)
            area = x, y, x + tag_width, y + tag_height
            others = taken if hiding else [*taken, *(other for other in small if other is not box)]
            if not any(_overlap(area, other) for other in others):
                return area, masks
    return None


def _draw_label(image: Pixels, area: Area, masks: Inks, pad: int) -> None:
    tag = image[area[1] : area[3], area[0] : area[2]]
    shade(tag, _TAG_SHADE)
    at = pad
    for mask, ink in masks:
        draw_text(tag, mask, ink, at, pad // 6)
        at += mask.shape[1] + pad


def _wordings(found: Detection) -> Iterator[Words]:
    """Candidate texts of a label, longest first."""
    name = (found.label, class_colour(found.label))
    number = () if found.track is None else ((f"#{found.track}", BRIGHT),)
    if not found.coasted:
        yield name, *number, (f"{found.score:.2f}", DIM)
    yield name, *number
    if number:
        yield number


def _places(box: Area, width: int, height: int, line: int) -> Iterator[tuple[int, int]]:
    """Left and top of a label: on top of the box, under it, beside it, inside."""
    x1, y1, x2, y2 = box
    above = y1 - height - line // 2
    yield x1 - line // 2, above if above >= 0 else y1 + line
    yield x2 + 1 - width, above
    yield x1 - line // 2, y2 + 1 + line // 2
    yield x2 + 1 - width, y2 + 1 + line // 2
    yield x2 + 1 + line, y1
    yield x1 - line - width, y1


def _gap(size: int) -> int:
    """Pixels between words, and at both ends."""
    return max(3, round(size * 0.32))


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
