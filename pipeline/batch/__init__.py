"""Many pairs of clips through the same settings, on this machine or on a Ray cluster."""
