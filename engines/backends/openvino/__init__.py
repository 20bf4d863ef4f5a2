"""OpenVINO: networks as graphs on the CPU, their precisions, and the engine that splits `realtime` and `tiny`."""
