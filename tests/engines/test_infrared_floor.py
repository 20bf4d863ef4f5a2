"""Infrared that automatic gain has brought to mid-grey neither veils the fused frame nor shows where its view ends."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusecam.engines import create_engine

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 240, 320


@pytest.mark.parametrize("engine", ["physics:torch", "realtime:torch"])
@pytest.mark.parametrize("grey", [20, 70, 115])
def test_uniform_infrared_adds_no_veil_and_no_seam(engine: str, grey: int) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    street = 70 + 25 * np.sin(x / 6) * np.cos(y / 5)
    visible = np.stack([street, street, 0.9 * street], axis=2).astype(np.uint8)
    infrared = np.full((HEIGHT, WIDTH), grey, np.uint8)
    cv2.ellipse(infrared, (160, 130), (8, 25), 0, 0, 360, 240, -1)
    ramp = np.clip((x - 60) / 10, 0, 1)  # infrared sees nothing of the left 60 columns
    coverage = (255 * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)
    fused = create_engine(engine, dehaze=0, lift=0).fuse(visible, infrared, coverage).image
    luma = cv2.cvtColor(fused, cv2.COLOR_RGB2GRAY).astype(float)
    outside, inside = luma[:, 5:55].mean(), luma[:, 75:140].mean()
    assert abs(inside - outside) < 6
    assert luma[120:140, 155:165].mean() > outside + 60  # and the warm body still stands out


@pytest.mark.parametrize("engine", ["physics:torch", "realtime:torch", "tiny:torch"])
def test_white_infrared_hides_nothing(engine: str) -> None:
    """Such as of a closed shutter. The result also changes little from one grey level to the next."""
    x = np.mgrid[0:HEIGHT, 0:WIDTH][1]
    visible = np.dstack([(40 + 30 * (x // 20 % 2)).astype(np.uint8)] * 3)
    made, coverage = create_engine(engine, dehaze=0, lift=0), np.full((HEIGHT, WIDTH), 255, np.uint8)
    images = [
        made.fuse(visible, np.full((HEIGHT, WIDTH), grey, np.uint8), coverage).image.astype(float)
        for grey in range(0, 256, 15)
    ]
    means = np.array([image.mean() for image in images])
    assert means.max() - means.min() < 50
    assert np.abs(np.diff(means)).max() < 12
