"""TensorRT-RTX engines built ahead of time, on any machine: ONNX, its parser, one plan for several GPU generations."""
