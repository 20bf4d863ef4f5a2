"""What every part of the pipeline shares: frames, results, counters, latencies, doubts, logging."""
