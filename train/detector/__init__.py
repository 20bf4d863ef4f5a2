"""Training of the object detector on fused frames: data, labels, augmentation, and the training run."""
