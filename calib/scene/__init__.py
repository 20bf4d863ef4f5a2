"""Calibration without a board: from a scene that both cameras see, pooled over many pairs of frames."""

from .solve import SceneFit, align

__all__ = ["SceneFit", "align"]
