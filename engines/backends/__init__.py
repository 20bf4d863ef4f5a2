"""What a network runs on: OpenVINO, CUDA graphs, TensorRT, plain torch; and their precisions."""
