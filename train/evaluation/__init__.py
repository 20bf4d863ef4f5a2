"""`fusecam eval`: metrics, tables and plots for fused images of engines or of any other method."""
