"""What touches a frame at run time: sources, sync, register, detect, overlay, sinks, latency, batch, cli."""
