"""Objects on fused frames: detection and tracking."""
