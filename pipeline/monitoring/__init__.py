"""Watching a run from outside while it runs: counters for Prometheus, JSON lines of events, what the browser shows."""
