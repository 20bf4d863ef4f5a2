"""A run: opened streams, capture, queues, the loop around the engine, and the accounting of frames."""
