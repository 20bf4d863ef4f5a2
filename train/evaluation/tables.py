"""The tables printed by `fusecam eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from ..metrics import LOWER_IS_BETTER
from .evaluate import Scores
from .output import new_table
from .summary import Group

FIRST = ("rank", "Qabf", "QCV", "SCD", "VIF", "MI", "SF", "SSIM", "AG", "mean")
SECOND = ("EN", "SD", "CC", "MS-SSIM", "PSNR01", "NIQE", "chroma", "chroma non-thermal", "noise", "dark chroma")
RESTORED = ("PSNR", "SSIM", "mean", "white lost")
HEADINGS = {"chroma": "ΔE", "chroma non-thermal": "ΔE cool", "dark chroma": "C* dark", "PSNR": "PSNR dB"}
DIGITS = {"QCV": 0, "mean": 1, "SD": 1} | dict.fromkeys(
    ("rank", "SF", "AG", "EN", "PSNR01", "PSNR", "NIQE", "chroma", "chroma non-thermal", "noise", "dark chroma"), 2
)
"""Decimal places; 3 for other metrics."""
NEUTRAL = frozenset({"mean"})
LEGEND = (
    "Lower is better: QCV, NIQE, ΔE, noise, C* dark, white lost, rank (mean rank over Qabf, QCV, SCD, VIF, MI, SF "
    "among these rows). mean: grey level, neither is better. ΔE: CIEDE2000 chroma shift against the reference at equal "
    "lightness; cool: where infrared is not bright. noise: standard deviation in flat areas over that of the visible "
    "input image. C* dark: chroma over that of the visible input image, where that is dark (L* up to 10) and "
    "infrared is not bright. PSNR: an image identical to its reference counts as 100 dB in a mean. PSNR01: as in "
    "fusion papers, 48.13 dB above a true PSNR. white lost: share of the reference's white pixels whose luma came out "
    "over 80 levels lower."
)


def tables(group: Group) -> list[Table]:
    """Tables of one group: two of fusion metrics, and one of restoration metrics if an engine was evaluated."""
    title = f"{group.name}, {group.images} image{'s' if group.images != 1 else ''}"
    made = [_table(f"Fusion: {title}", group.fused, FIRST), _table(f"Fusion, further: {title}", group.fused, SECOND)]
    if len(group.restored) > 1:
        made.append(_table(f"Restored visible: {title}", group.restored, RESTORED))
    return made


def _table(title: str, rows: Mapping[str, Scores], metrics: Sequence[str]) -> Table:
    table = new_table(title, [HEADINGS.get(metric, metric) for metric in metrics])
    best = {metric: _best(metric, [row.get(metric, math.nan) for row in rows.values()]) for metric in metrics}
    for name, row in rows.items():
        cells = []
        for metric in metrics:
            value = row.get(metric, math.nan)
            text = "-" if math.isnan(value) else f"{value:.{DIGITS.get(metric, 3)}f}"
            cells.append(Text(text, style="bold" if value == best[metric] else ""))
        table.add_row(Text(name), *cells)
    return table


def _best(metric: str, values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    if metric in NEUTRAL or not known:
        return math.nan
    return min(known) if metric in LOWER_IS_BETTER or metric == "rank" else max(known)
