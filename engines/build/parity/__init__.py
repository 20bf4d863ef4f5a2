"""The parity gate: no compiled engine runs whose output was not compared with that of the network it came from."""

from .frames import gate_frames
from .gate import LIMITS_DB, Comparison, Parity, compare, gate_warp

__all__ = ["LIMITS_DB", "Comparison", "Parity", "compare", "gate_frames", "gate_warp"]
