"""Runs many pairs of clips with the same settings, on this machine or on a Ray cluster."""
