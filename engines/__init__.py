"""Fusion networks, the physics they share, and their compiled forms."""
