"""The overlay: boxes with labels, trails, a tint, a head-up line, the two inputs in a corner."""

from .draw import Overlay
from .hud import Hud
from .ink import class_colour

__all__ = ["Hud", "Overlay", "class_colour"]
