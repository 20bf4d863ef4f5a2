"""Plots of an evaluation: violin plots of the metrics, and a contact sheet of the worst images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ..metrics import LOWER_IS_BETTER, RANKED, Colour, Gray
from .evaluate import SceneScores

PLOTTED = (*RANKED, "SSIM", "AG")
COLUMNS = 4
CELL_WIDTH, CAPTION, GAP = 320, 24, 4


def violins(results: Sequence[SceneScores], path: Path) -> None:
    """Plot the distribution over images of each of PLOTTED for every row, as PNG.

    As in the IASSF paper, the width of a violin is the density, the box spans the quartiles, the black line is the
    median and the red line the mean. Rows without finite values of a metric are left out of its plot.
    """
    rows = list(results[0].fused)
    figure = Figure(figsize=(4 * COLUMNS, 3.6 * math.ceil(len(PLOTTED) / COLUMNS)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, metric in enumerate(PLOTTED, start=1):
        axes = figure.add_subplot(math.ceil(len(PLOTTED) / COLUMNS), COLUMNS, place)
        axes.set_title(f"{metric} ({'lower' if metric in LOWER_IS_BETTER else 'higher'} is better)", fontsize=10)
        axes.set_xticks(range(1, len(rows) + 1), rows, rotation=30, ha="right", fontsize=8)
        axes.set_xlim(0.4, len(rows) + 0.6)
        axes.grid(axis="y", alpha=0.3)
        for at, row in enumerate(rows, start=1):
            column = np.array([each.fused[row][metric] for each in results])
            column = column[np.isfinite(column)]
            if not column.size:
                continue
            shape = axes.violinplot([column], [at], widths=0.85, showextrema=False)
            for body in shape["bodies"]:  # type: ignore[attr-defined]
                body.set(facecolor=f"C{(at - 1) % 10}", alpha=0.45)
            axes.boxplot(
                [column],
                positions=[at],
                widths=0.18,
                showfliers=False,
                showmeans=True,
                meanline=True,
                manage_ticks=False,
                medianprops={"color": "black", "linewidth": 1.2},
                meanprops={"color": "red", "linestyle": "-", "linewidth": 1.2},
            )
    figure.savefig(path, dpi=110, format="png")


def contact_sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Gray | Colour]]]], path: Path) -> None:
    """Write rows of captioned images as one PNG. Each row: a caption, and (title, image) cells."""
    font = ImageFont.load_default(size=14)
    lines = []
    for caption, cells in rows:
        height = round(cells[0][1].shape[0] * CELL_WIDTH / cells[0][1].shape[1])
        width = (CELL_WIDTH + GAP) * len(cells) + GAP
        line = Image.new("RGB", (width, height + 2 * CAPTION + GAP), (24, 24, 24))
        draw = ImageDraw.Draw(line)
        draw.text((GAP + 2, 3), caption, (255, 210, 120), font)
        for at, (title, image) in enumerate(cells):
            left = GAP + at * (CELL_WIDTH + GAP)
            draw.text((left + 2, CAPTION + 2), title, (235, 235, 235), font)
            small = Image.fromarray(image).convert("RGB").resize((CELL_WIDTH, height), Image.Resampling.BOX)
            line.paste(small, (left, 2 * CAPTION))
        lines.append(line)
    sheet = Image.new("RGB", (max(line.width for line in lines), sum(line.height for line in lines)), (24, 24, 24))
    top = 0
    for line in lines:
        sheet.paste(line, (0, top))
        top += line.height
    sheet.save(path, "PNG")
