"""Recording: the fused video, every camera frame and all results in time segments, within a quota."""
