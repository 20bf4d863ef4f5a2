"""The pipeline at run time: sources, pairing, registration, detection, overlay, sinks, monitoring, commands."""
