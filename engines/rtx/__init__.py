"""TensorRT-RTX engines built ahead of time, without a GPU: ONNX export, parser, one plan for several targets."""
