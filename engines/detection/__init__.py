"""The detector as a compiled engine: letterbox, inference, non-maximum suppression, boxes in frame coordinates."""

from .engine import DetectorEngine, Rows
from .letterbox import SIDE, Letterbox

__all__ = ["SIDE", "DetectorEngine", "Letterbox", "Rows"]
