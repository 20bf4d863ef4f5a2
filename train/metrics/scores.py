"""All fusion metrics of an image by their usual abbreviations, and mean ranks of several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from . import statistics
from .arrays import Gray
from .niqe import niqe
from .perception import qabf, qcv
from .structure import fusion_ms_ssim, fusion_psnr, fusion_ssim, fusion_vif

RANKED = ("Qabf", "QCV", "SCD", "VIF", "MI", "SF")
"""Metrics of the mean rank."""
LOWER_IS_BETTER = frozenset({"QCV", "NIQE", "chroma", "chroma non-thermal", "noise", "dark chroma", "white lost"})

OF_THE_FUSED = {
    "EN": statistics.entropy,
    "SD": statistics.standard_deviation,
    "SF": statistics.spatial_frequency,
    "AG": statistics.average_gradient,
    "NIQE": niqe,
    "mean": statistics.mean_level,
}
AGAINST_THE_SOURCES = {
    "MI": statistics.mutual_information,
    "VIF": fusion_vif,
    "Qabf": qabf,
    "QCV": qcv,
    "SCD": statistics.sum_of_correlations_of_differences,
    "CC": statistics.correlation_coefficient,
    "SSIM": fusion_ssim,
    "MS-SSIM": fusion_ms_ssim,
    "PSNR01": fusion_psnr,
}


def fusion_scores(infrared: Gray, visible: Gray, fused: Gray) -> dict[str, float]:
    """Every fusion metric of one fused image; `mean` is its mean grey level.

    infrared, visible, fused: (H, W) uint8 of equal size; `visible` is the clear image if the input of the fusion was
    hazy. NaN for metrics that are undefined at this size. Raises ValueError for other arrays.
    """
    scores = {name: metric(fused) for name, metric in OF_THE_FUSED.items()}
    return scores | {name: metric(infrared, visible, fused) for name, metric in AGAINST_THE_SOURCES.items()}


def mean_ranks(rows: Sequence[Mapping[str, float]], names: Sequence[str] = RANKED) -> list[float]:
    """Mean rank of each row over several metrics: 1 is best, equal values share their mean rank.

    A metric that is not finite in some row is ignored for all rows; NaN if none remains. names: the metrics.
    """
    ranks = []
    for name in names:
        column = np.array([row.get(name, np.nan) for row in rows], float)
        if np.isfinite(column).all():
            column = column if name in LOWER_IS_BETTER else -column
            better = (column[None, :] < column[:, None]).sum(axis=1)
            equal = (column[None, :] == column[:, None]).sum(axis=1)
            ranks.append(better + (equal + 1) / 2)
    return [float(each) for each in np.mean(ranks, axis=0)] if ranks else [float("nan")] * len(rows)
