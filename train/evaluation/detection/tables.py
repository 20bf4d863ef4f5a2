"""Output of a detection evaluation: tables with confidence intervals, CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from ....calib.atomic import write_atomic
from ...errors import TrainError
from ..output import new_table, write_csv
from .metrics import ALL_CLASSES, CONFIDENCE, RESAMPLES, SEED, Interval, Lead, Result, Results

COLUMNS = {"map50": "mAP50", "map": "mAP50-95", "precision": "precision", "recall": "recall"}
VERSION = 1
"""Format version of detection.json."""
TABLES = {"detection.csv": b"condition,row,detector,", "detection.json": b'{\n "version": %d,\n "confidence"' % VERSION}
"""Files of tables, and how they begin."""
PICTURES = ("pr_curves.png", "found_by_fused.png", "missed_by_fused.png")
LEGEND = (
    "In percent. P and R: precision and recall at IoU 0.5, at the score where the mean F1 is highest. A class: "
    "its average precision at IoU 0.5 (number of labels). Matching and average precision are those of Ultralytics. "
    f"Below a value: its {CONFIDENCE:.0%} confidence interval, from {RESAMPLES} bootstrap resamples of the scenes."
)


def leads(rows: Mapping[str, Result], baselines: Collection[str]) -> dict[str, dict[str, Lead]]:
    """Lead of every other row over the best row of `baselines`, by class."""
    others = {row: result for row, result in rows.items() if row in baselines}
    return {
        row: {name: result.lead(name, others) for name in result.figures}
        for row, result in rows.items()
        if row not in baselines
    }


def table(title: str, rows: Mapping[str, Result]) -> Table:
    """Table of metrics in percent with confidence intervals; the best value of a column is bold."""
    first = next(iter(rows.values()))
    classes = [name for name in first.figures if name != ALL_CLASSES]
    headings = [*COLUMNS.values(), *(f"{name}\n({first.figures[name].labels})" for name in classes)]
    made = new_table(title, [{"precision": "P", "recall": "R"}.get(heading, heading) for heading in headings])
    values = {row: _values(result, classes) for row, result in rows.items()}
    best = np.nanmax(np.array(list(values.values())), axis=0)
    for row, numbers in values.items():
        within = [rows[row].within(name) for name in (ALL_CLASSES, *classes)]
        below = [f"\n{100 * each.low:.1f}-{100 * each.high:.1f}" for each in within]
        below[1:1] = [""] * (len(COLUMNS) - 1)
        cells = [
            Text.assemble((f"{100 * number:.1f}", "bold" if number == top else ""), (under, "dim"))
            for number, top, under in zip(numbers, best, below, strict=True)
        ]
        made.add_row(Text(row), *cells)
    return made


def leads_table(title: str, ahead: Mapping[str, Mapping[str, Lead]]) -> Table:
    """Table of `leads` in percentage points of mAP50."""
    made = new_table(f"{title}: lead over the best baseline", next(iter(ahead.values())))
    for row, by_class in ahead.items():
        cells = [
            Text.assemble(f"{100 * by:+.1f}", (f"\n{100 * within.low:+.1f} to {100 * within.high:+.1f}\n{over}", "dim"))
            for over, by, within in by_class.values()
        ]
        made.add_row(Text(row), *cells)
    return made


def write(folder: Path, results: Results, weights: Mapping[str, Path], baselines: Collection[str]) -> list[Path]:
    """Write detection.csv and detection.json, one record per condition, row and class. Returns the paths."""
    lines: list[dict[str, Any]] = []
    for condition, rows in results.items():
        ahead = leads(rows, baselines)
        for row, result in rows.items():
            for name, figures in result.figures.items():
                numbers = {heading: getattr(figures, column) for column, heading in COLUMNS.items()}
                numbers |= _named("mAP50", result.within(name))
                line = {"condition": condition, "row": row, "detector": weights[row].name, "class": name}
                lines.append(line | {"labels": figures.labels} | _rounded(numbers))
                if row in ahead:
                    over, by, within = ahead[row][name]
                    lines[-1] |= {"over": over} | _rounded({"lead": by} | _named("lead", within))
    paths = [folder / name for name in TABLES]
    write_csv(paths[0], lines)
    content = {"version": VERSION, "confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED, "figures": lines}
    write_atomic(paths[1], (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), TrainError)
    return paths


def _named(figure: str, within: Interval) -> dict[str, float]:
    return {f"{figure} low": within.low, f"{figure} high": within.high}


def _rounded(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 4) for name, value in numbers.items()}


def _values(result: Result, classes: Sequence[str]) -> list[float]:
    every = result.figures[ALL_CLASSES]
    return [*(getattr(every, name) for name in COLUMNS), *(result.figures[name].map50 for name in classes)]
