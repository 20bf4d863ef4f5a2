from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from .pictures import picture
from .tiny_run import RECIPE


@pytest.fixture(autouse=True)
def data_root(tmp_path, monkeypatch):
    """Shipped recipes name data sets below it; none is there."""
    monkeypatch.setenv("FUSECAM_DATA", str(tmp_path))


@pytest.fixture
def folders(tmp_path):
    """Three scenes of infrared, clear, hazy and fused images, the fused ones the mean of the first two."""
    for folder in ("ir", "clear", "hazy", "fused"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate(("a1D", "b2N", "c3N")):
        infrared, clear = picture(seed, 1), picture(seed + 10)
        Image.fromarray(infrared).save(tmp_path / "ir" / f"{name}.png")
        Image.fromarray(clear).save(tmp_path / "clear" / f"{name}.png")
        Image.fromarray((clear * 0.4 + 120).astype(np.uint8)).save(tmp_path / "hazy" / f"{name}.webp", lossless=True)
        fused = (clear.astype(int) + infrared[..., None]) // 2
        Image.fromarray(fused.astype(np.uint8)).save(tmp_path / "fused" / f"{name}.bmp")
    return tmp_path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for index in range(5):
        for folder, shape in (("vis", (64, 80, 3)), ("ir", (64, 80))):
            (tmp_path / "pairs" / folder).mkdir(parents=True, exist_ok=True)
            frame = cv2.resize(random.integers(0, 255, (6, 8, *shape[2:]), dtype=np.uint8), (80, 64))
            cv2.imwrite(str(tmp_path / "pairs" / folder / f"{index}.png"), frame)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("STEPS", "2"))
    return path
