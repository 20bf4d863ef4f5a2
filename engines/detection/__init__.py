"""The detector as a compiled engine: fit the frame to the network, run it, keep the boxes, put them back."""

from .engine import DetectorEngine, Rows
from .letterbox import SIDE, Letterbox

__all__ = ["SIDE", "DetectorEngine", "Letterbox", "Rows"]
