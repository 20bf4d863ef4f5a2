"""The page for browsers: what the run sees and does, live, and its switches."""
