"""Short synthetic infrared/visible clips with ground truth, and the renderer that makes them."""
