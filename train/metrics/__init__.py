"""Image quality metrics in NumPy and OpenCV for fused images, and for restored images against a clear reference.

Example: `from fusecam.train.metrics import fusion_scores, gray`, read three images of equal size, then
`fusion_scores(infrared, gray(visible), gray(fused))` returns all fusion metrics as a dictionary.
"""

from .arrays import Colour, Gray, gray, rgb
from .artefacts import dark_chroma, flat_areas, noise_deviation, noise_ratio, white_lost
from .colour import chroma_shift, chroma_shifts, ciede2000, lab, non_thermal
from .niqe import niqe
from .perception import qabf, qcv
from .scores import LOWER_IS_BETTER, RANKED, fusion_scores, mean_ranks
from .statistics import (
    average_gradient,
    correlation_coefficient,
    entropy,
    mean_level,
    mutual_information,
    spatial_frequency,
    standard_deviation,
    sum_of_correlations_of_differences,
)
from .structure import fusion_ms_ssim, fusion_psnr, fusion_ssim, fusion_vif, ms_ssim, psnr, ssim, vif
from .visibility import LOST, contrasts, kept

__all__ = [
    "LOST", "LOWER_IS_BETTER", "RANKED", "Colour", "Gray", "average_gradient", "chroma_shift", "chroma_shifts",
    "ciede2000", "contrasts", "correlation_coefficient", "dark_chroma", "entropy", "flat_areas", "fusion_ms_ssim",
    "fusion_psnr", "fusion_scores", "fusion_ssim", "fusion_vif", "gray", "kept", "lab", "mean_level", "mean_ranks",
    "ms_ssim", "mutual_information", "niqe", "noise_deviation", "noise_ratio", "non_thermal", "psnr", "qabf", "qcv",
    "rgb", "spatial_frequency", "ssim", "standard_deviation", "sum_of_correlations_of_differences", "vif", "white_lost",
]  # fmt: skip
