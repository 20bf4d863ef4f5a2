"""`fusecam bench`: latency and memory of engines and of the whole chain, each measured in its own process."""
