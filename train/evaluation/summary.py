"""Means over images and groups of images, ranks, the printed tables, and the CSV and JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from ...calib.atomic import write_atomic
from ..errors import TrainError
from ..metrics import LOWER_IS_BETTER, RANKED, mean_ranks
from . import visibility
from .evaluate import SceneScores, Scores
from .output import new_table, write_csv

ALL, OTHER = "all", "other"
PRESETS = {"msrs": "D=day,N=night"}
IDENTICAL_DB = 100.0
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
TABLES = {"per_image.csv": b"image,group,row,", "summary.csv": b"group,images,row,", "summary.json": b'{\n "settings"'}
"""Files of tables, and how they begin."""


@dataclass(frozen=True, slots=True)
class Group:
    """Mean metrics of one group of images. Each row of `fused` has a `rank`, the mean rank over RANKED."""

    name: str
    images: int
    fused: dict[str, Scores]
    restored: dict[str, Scores]


def split_rule(text: str | None) -> dict[str, str]:
    """Parse a grouping rule such as `D=day,N=night`, or a preset, into {suffix: group}. Raises TrainError."""
    rule = {}
    for part in PRESETS.get(text, text).split(",") if text else ():
        ending, equals, group = part.strip().partition("=")
        if not (ending and equals and group):
            raise TrainError(
                f"--group-by {text}: give ENDING=GROUP,ENDING=GROUP, for example D=day,N=night, or {', '.join(PRESETS)}"
            )
        if group in (ALL, OTHER):
            raise TrainError(f"--group-by {text}: a group cannot be called {group}")
        rule[ending] = group
    return rule


def group_of(name: str, rule: Mapping[str, str]) -> str:
    """Group of an image by the longest matching suffix of its name; `other` if none matches."""
    endings = [ending for ending in rule if name.endswith(ending)]
    return rule[max(endings, key=len)] if endings else OTHER


def summarise(results: Sequence[SceneScores], rule: Mapping[str, str]) -> list[Group]:
    """Means over all images, then over each non-empty group of the rule."""
    groups = [_group(ALL, results)]
    if rule:
        for name in (*dict.fromkeys(rule.values()), OTHER):
            members = [result for result in results if group_of(result.name, rule) == name]
            if members:
                groups.append(_group(name, members))
    return groups


def worst(results: Sequence[SceneScores], method: str, count: int = 10) -> list[SceneScores]:
    """The `count` worst images of a method, by their mean rank over RANKED among all images, worst first."""
    ranks = mean_ranks([result.fused[method] for result in results])
    order = sorted(range(len(results)), key=lambda i: (-ranks[i], results[i].name))
    return [results[i] for i in order[:count]]


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


def write_files(
    folder: Path,
    results: Sequence[SceneScores],
    groups: Sequence[Group],
    rule: Mapping[str, str],
    settings: dict[str, Any],
) -> list[Path]:
    """Write per_image.csv, summary.csv and summary.json; returns their paths. NaN is written as an empty cell.

    per_image.csv has one line per image and row, summary.csv one per group and row. The PSNR of identical images is
    `inf`; in the mean with others it counts as IDENTICAL_DB.
    """
    per_image: list[dict[str, Any]] = [
        {"image": result.name, "group": group_of(result.name, rule) if rule else ALL, "row": row}
        | scores
        | _prefixed(result.restored.get(row, {}))
        for result in results
        for row, scores in result.fused.items()
    ]
    summary: list[dict[str, Any]] = [
        {"group": group.name, "images": group.images, "row": row} | scores | _prefixed(group.restored.get(row, {}))
        for group in groups
        for row, scores in group.fused.items()
    ]
    content = {
        "settings": settings,
        "ranked": list(RANKED),
        "lower_is_better": sorted(LOWER_IS_BETTER),
        "groups": {
            group.name: {"images": group.images, "fused": group.fused, "restored": group.restored} for group in groups
        },
        "visibility": visibility.by_kind([seen for result in results for seen in result.objects]),
        "names": [result.name for result in results],
    }
    paths = [folder / name for name in TABLES]
    for path, lines in zip(paths, (per_image, summary), strict=False):
        write_csv(path, [{key: _cell(value) for key, value in line.items()} for line in lines])
    write_atomic(paths[2], (json.dumps(_plain(content), indent=1, allow_nan=False) + "\n").encode(), TrainError)
    return paths


def _group(name: str, results: Sequence[SceneScores]) -> Group:
    fused = {row: _means([result.fused[row] for result in results]) for row in results[0].fused}
    for row, rank in zip(fused, mean_ranks(list(fused.values())), strict=True):
        fused[row]["rank"] = rank
    restored = {row: _means([result.restored[row] for result in results]) for row in results[0].restored}
    return Group(name, len(results), fused, restored)


def _means(scores: Sequence[Scores]) -> Scores:
    """Mean of each metric over the images for which it is defined, else NaN.

    An infinite PSNR counts as IDENTICAL_DB, unless all are infinite.
    """
    means = {}
    for metric in dict.fromkeys(name for row in scores for name in row):
        values = [row[metric] for row in scores if not math.isnan(row.get(metric, math.nan))]
        if metric == "PSNR" and not all(math.isinf(value) for value in values):
            values = [min(value, IDENTICAL_DB) for value in values]
        means[metric] = float(np.mean(values)) if values else math.nan
    return means


def _prefixed(restored: Scores) -> Scores:
    return {f"restored {metric}": value for metric, value in restored.items()}


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"


def _plain(value: Any) -> Any:
    """Replace NaN by None and infinity by "inf", since JSON has neither."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    return value
