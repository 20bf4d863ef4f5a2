"""The parity gate: compares the output of every compiled engine with that of its network before use."""

from .frames import gate_frames
from .gate import LIMITS_DB, Parity, compare, gate_warp

__all__ = ["LIMITS_DB", "Parity", "compare", "gate_frames", "gate_warp"]
