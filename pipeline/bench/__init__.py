"""`fusecam bench`: what engines and the whole chain cost on this machine, measured each in a process of its own."""
