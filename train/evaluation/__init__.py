"""`fusecam eval`: figures, tables and pictures of fused images, anybody's or those of an engine."""
