"""The detector as a compiled engine: letterbox, inference, non-maximum suppression, boxes in frame coordinates."""

from .engine import DetectorEngine
from .letterbox import Letterbox

__all__ = ["DetectorEngine", "Letterbox"]
