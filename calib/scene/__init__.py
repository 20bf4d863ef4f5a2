"""A rig without a board: from what both cameras see of one scene, pooled over many pairs of frames."""

from .evidence import Agreement
from .solve import SceneFit, align

__all__ = ["Agreement", "SceneFit", "align"]
