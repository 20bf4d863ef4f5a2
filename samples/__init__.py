"""Short infrared/visible clips that the project's own renderer makes, with ground truth, and that renderer."""
