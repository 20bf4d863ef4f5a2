"""Fusion networks, the physics they share, and their compiled forms. Importing this package does not import torch."""

from .base import EngineError, Fused, FusionEngine, Strength
from .registry import available, create_engine

__all__ = ["EngineError", "Fused", "FusionEngine", "Strength", "available", "create_engine"]
