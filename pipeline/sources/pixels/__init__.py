"""From stored samples to the pipeline's pixels: RGB of the visible camera, 8 bits of infrared, upright."""
