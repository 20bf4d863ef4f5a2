"""Worked examples: an engine, a detector, a source and a sink for fusecam, one file each."""
