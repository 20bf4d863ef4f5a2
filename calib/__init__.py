"""Rig files: where the two cameras stand to each other, and the maps that follow from it."""
