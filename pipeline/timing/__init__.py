"""Which frames belong together: synchronization, frame rates, the offset between two clocks."""
