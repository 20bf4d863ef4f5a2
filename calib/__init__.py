"""Rig files: the relative pose of the two cameras, and the pixel maps computed from it."""
