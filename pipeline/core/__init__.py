"""Shared by all parts of the pipeline: frames, results, counters, latencies, doubts, logging."""
