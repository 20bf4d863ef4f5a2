"""Fusion networks: torch modules from 8-bit frames to 8-bit frames, one file each."""
