"""Plots of a detection evaluation: precision-recall curves, and examples that one row detects and another misses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ....calib.atomic import atomic
from ....engines.base import Pixels
from ....engines.detection.weights import DETECTOR_NAMES
from ...errors import TrainError
from ..pictures import contact_sheet
from .metrics import ALL_CLASSES, FrameDetections, Result, SceneDetections, find_detected
from .tables import PICTURES

SURE = 0.25
"""Score threshold of a detection, the default of `fusecam`."""
EXAMPLES = 8
FOUND, MISSED, FALSE = (90, 220, 110), (240, 70, 60), (250, 190, 60)


def draw(
    folder: Path,
    looked: Sequence[SceneDetections],
    results: Mapping[str, Mapping[str, Result]],
    frames: Callable[[SceneDetections], Mapping[str, Pixels]],
) -> list[Path]:
    """Write pr_curves.png, found_by_fused.png and missed_by_fused.png; returns the paths.

    The last two are contact sheets of objects that the first method (or else the average) detects and the visible frame
    does not, and vice versa. frames: maps a scene to the frame of every row, (H, W, 3) uint8 RGB.
    """
    rows = list(looked[0].rows)
    method = rows[3] if len(rows) > 3 else rows[-1]
    paths = [folder / name for name in PICTURES]
    with atomic(paths[0], TrainError) as aside:
        curves(results, aside.path)
    for path, by, without in ((paths[1], method, rows[1]), (paths[2], rows[1], method)):
        sheet = []
        for count, each in _gains(looked, by, without):
            caption = f"{each.scene.name}, {each.condition}: {count} found in {by}, missed in {without}"
            images = frames(each)
            cells = [(row, marked(images[row], each.rows[row])) for row in (rows[0], rows[1], method)]
            sheet.append((caption, cells))
        if sheet:
            with atomic(path, TrainError) as aside:
                contact_sheet(sheet, aside.path)
        else:
            paths.remove(path)
    return paths


def curves(results: Mapping[str, Mapping[str, Result]], path: Path) -> None:
    """Plot precision-recall curves at IoU 0.5, mean over classes: one plot per condition, one line per row."""
    across = min(3, len(results))
    down = math.ceil(len(results) / across)
    figure = Figure(figsize=(5.2 * across, 4.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (condition, rows) in enumerate(results.items(), start=1):
        axes = figure.add_subplot(down, across, place)
        for row, result in rows.items():
            label = f"{row}  {100 * result.figures[ALL_CLASSES].map50:.1f}"
            axes.plot(np.linspace(0, 1, len(result.curve)), result.curve, label=label, linewidth=1.4)
        axes.set(title=condition, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower left", title="mAP50")
    figure.savefig(path, dpi=110, format="png")


def marked(image: Pixels, judged: FrameDetections, names: Sequence[str] = tuple(DETECTOR_NAMES.values())) -> Pixels:
    """Draw the labelled boxes, green if detected and red if missed, and false positives in yellow. Returns a copy."""
    canvas = image[..., :3].copy()
    for row, hit in zip(judged.truth, find_detected(judged, SURE), strict=True):
        _box(canvas, row[1:], FOUND if hit else MISSED, 2)
    sure = judged.found[judged.found[:, 4] >= SURE]
    # with detections and labels swapped, `seen` tells which detections are true positives
    labels, corners = judged.truth[:, :1], judged.truth[:, 1:]
    swapped = FrameDetections(
        judged.name, np.hstack([corners, np.ones_like(labels), labels]), np.hstack([sure[:, 5:], sure[:, :4]])
    )
    for row, real in zip(sure, find_detected(swapped, 0), strict=True):
        if not real:
            _box(canvas, row[:4], FALSE, 1)
            name = names[int(row[5])]
            at = (int(row[0]), max(10, int(row[1]) - 3))
            cv2.putText(canvas, f"{name} {row[4]:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, FALSE, 1, cv2.LINE_AA)
    return canvas


def _gains(looked: Sequence[SceneDetections], by: str, without: str) -> list[tuple[int, SceneDetections]]:
    """Scenes with the most labelled boxes that `by` detects and `without` misses, each scene once, sorted by number."""
    counted = []
    for each in looked:
        if by in each.rows and without in each.rows:
            gained = find_detected(each.rows[by], SURE) & ~find_detected(each.rows[without], SURE)
            counted.append((int(gained.sum()), each))
    counted.sort(key=lambda one: -one[0])
    chosen: dict[str, tuple[int, SceneDetections]] = {}
    for count, each in counted:
        if count:
            chosen.setdefault(each.scene.name, (count, each))
    return list(chosen.values())[:EXAMPLES]


def _box(canvas: Pixels, corners: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    x1, y1, x2, y2 = (round(float(value)) for value in corners)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, width, cv2.LINE_AA)
