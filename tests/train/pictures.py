"""Images for the tests of evaluation."""

import numpy as np

SIZE = (192, 200)
"""Height and width."""


def picture(seed, channels=3):
    noise = np.random.default_rng(seed).normal(0, 1, (*SIZE, channels))
    field = noise.cumsum(axis=0).cumsum(axis=1)
    field = (field - field.min()) / np.ptp(field)
    image = np.round(field * 200 + noise * 6 + 25).clip(0, 255).astype(np.uint8)
    return image if channels == 3 else image[..., 0]
