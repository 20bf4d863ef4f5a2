"""The report of a calibration as one HTML file, and its numbers as plain lines."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from .board import Points
from .joint import INFRARED, VISIBLE
from .pictures import ViewImages, board_distance, embedded, overlay, spots
from .rig import Rig
from .solve import NAMES, Calibration, folds

DISTANCES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200)
"""Distances in metres for which the parallax is listed."""
_PLANES = (5.0, 10.0, 20.0, 50.0)
_CELLS = (8, 6)
_STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{padding:.2em .8em;text-align:right}
td:first-child,th:first-child{text-align:left}.no{color:#a00}figure{display:inline-block;margin:.3em}
figcaption{font-size:12px;max-width:360px}h2{margin-top:1.6em}b.own{background:#eef}"""


def text(calibration: Calibration, rig: Rig) -> list[str]:
    """Summary of the calibration, in lines."""
    fit = calibration.fit
    used, rejected = len(calibration.views), len(calibration.rejected)
    lines = [
        f"{used} views used, {rejected} rejected; error {fit.rms():.2f} px RMS (visible {fit.rms(VISIBLE):.2f}, "
        f"infrared {fit.rms(INFRARED):.2f})",
    ]
    for camera, lens in enumerate(fit.lenses):
        spread = fit.spread[camera * 9 : camera * 9 + 4]
        fx, fy, cx, cy = lens.intrinsics
        lines.append(
            f"{NAMES[camera]}: focal lengths {fx:.1f} ± {spread[0]:.1f} and {fy:.1f} ± {spread[1]:.1f} px, centre "
            f"{cx:.1f} ± {spread[2]:.1f}, {cy:.1f} ± {spread[3]:.1f}; the board was seen in "
            f"{_covered(calibration, camera):.0%} of the image"
        )
        if folds(lens):
            lines.append(
                f"{NAMES[camera]}: the lens model is not valid out to the image's corners: show the board there too"
            )
    turn, shift = np.degrees(fit.rotation), fit.translation * 1000
    about, along = np.degrees(fit.spread[18:21]), fit.spread[21:24] * 1000
    lines.append(
        f"infrared camera: turned by {_three(turn, 2)} ± {_three(about, 2)} degrees, shifted by {_three(shift, 1)} ± "
        f"{_three(along, 1)} mm (baseline {np.linalg.norm(shift):.1f} mm)"
    )
    lines += [f"rejected {name}: {reason}" for name, reason in calibration.rejected]
    lines += calibration.notes
    near = ", ".join(f"{rig.parallax_px(z):.1f} px at {z} m" for z in DISTANCES if z in (2, 5, 10, 50))
    lines.append(f"aligned at {rig.distance:g} m, things elsewhere are off by: {near}")
    return lines


def html(calibration: Calibration, rig: Rig, sights: Mapping[str, ViewImages]) -> str:
    """The report as a page of its own, pictures included. sights: by the views' names, as far as there are any."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Calibration</title><style>{_STYLE}</style><h1>Calibration</h1>",
        f"<p>Board: {escape(str(calibration.board))}, {calibration.board.square * 1000:g} mm.</p><ul>",
        *(f"<li>{escape(line)}" for line in text(calibration, rig)),
        "</ul>",
        _parallax(rig),
        _coverage(calibration),
        _views(calibration, sights),
    ]
    return "\n".join(parts)


def _parallax(rig: Rig) -> str:
    """Parallax of infrared off the rig's alignment plane, and off other planes."""
    planes = sorted({*_PLANES, float(rig.distance or 0)})
    head = "".join(
        f"<th>{'<b class=own>' if plane == rig.distance else '<b>'}aligned at {plane:g} m</b>" for plane in planes
    )
    rows = [
        f"<tr><td>{z} m" + "".join(f"<td>{rig.at_distance(plane).parallax_px(z):.1f}" for plane in planes)
        for z in DISTANCES
    ]
    return (
        "<h2>Parallax</h2><p>Infrared pixels by which a thing at each distance is off, in the middle of the image, "
        f"when the images are aligned for one plane (--distance): e = f B |1/Z - 1/Z0|.</p><table><tr><th>thing at"
        f"{head}{''.join(rows)}</table>"
    )


def _coverage(calibration: Calibration) -> str:
    figures = []
    for camera, lens in enumerate(calibration.fit.lenses):
        picture = spots(_points(calibration, camera), (lens.width, lens.height))
        caption = (
            f"{NAMES[camera]}: board points in {_covered(calibration, camera):.0%} of {_CELLS[0]}x{_CELLS[1]} cells"
        )
        figures.append(_figure(picture, caption))
    return "<h2>Coverage</h2><p>The lens is known where there were points.</p>" + "".join(figures)


def _views(calibration: Calibration, sights: Mapping[str, ViewImages]) -> str:
    fit, board = calibration.fit, calibration.board.points()
    rows, figures = [], []
    for k, view in enumerate(calibration.views):
        cells = [
            f"{fit.rms(c, k):.2f} px, {len(found.ids)} points" if (found := view.found(c)) is not None else "not seen"
            for c in (VISIBLE, INFRARED)
        ]
        rows.append(
            f"<tr><td>{escape(view.name)}<td>{cells[0]}<td>{cells[1]}<td>{board_distance(fit, k, board):.2f} m<td>used"
        )
        sight = sights.get(view.name)
        picture = overlay(fit, k, sight) if sight is not None else None
        if picture is not None:
            figures.append(
                _figure(picture, f"{view.name}: visible {fit.rms(0, k):.2f}, infrared {fit.rms(1, k):.2f} px")
            )
    for name, reason in calibration.rejected:
        rows.append(f"<tr class=no><td>{escape(name)}<td><td><td><td>rejected: {escape(reason)}")
    return (
        "<h2>Views</h2><table><tr><th>view<th>visible error<th>infrared error<th>distance<th></tr>"
        + "".join(rows)
        + "</table><h2>Both cameras on the board's plane</h2><p>Visible in cyan, infrared in red. The board's squares "
        "should have no coloured seams; what is not in its plane has parallax.</p>" + "".join(figures)
    )


def _figure(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], caption: str) -> str:
    return f'<figure><img src="{embedded(picture)}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'


def _points(calibration: Calibration, camera: int) -> Points:
    found = [seen.points for view in calibration.views if (seen := view.found(camera)) is not None]
    return np.concatenate(found) if found else np.zeros((0, 2))


def _covered(calibration: Calibration, camera: int) -> float:
    """Share of an image's cells in which board points fell."""
    lens = calibration.fit.lenses[camera]
    cells = (_points(calibration, camera) / np.array([lens.width, lens.height]) * _CELLS).astype(int)
    i, j = np.clip(cells, 0, np.array(_CELLS) - 1).T
    seen = np.zeros(_CELLS, bool)
    seen[i, j] = True
    return float(seen.mean())


def _three(values: Points, digits: int) -> str:
    return "(" + ", ".join(f"{v:.{digits}f}" for v in values) + ")"
