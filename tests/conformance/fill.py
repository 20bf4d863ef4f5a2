"""Deterministic weights and inputs for the conformance vectors in this folder.

A vector file NAME.json lists the parameter and buffer names and shapes of the
checkpoint format that the paper's authors published.  `state(NAME.json)` fills
them with reproducible numbers; `inputs(h, w)` makes a reproducible IR/visible
pair.  NAME.npz holds what the authors' network returns for exactly these.
"""

import json
import zlib
from pathlib import Path

import numpy as np


def tensor(name: str, shape: list[int], gain: float) -> np.ndarray:
    """One float32 array, a pure function of its name, shape and the file's gain."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    x = rng.standard_normal(shape).astype(np.float32) if shape else np.float32(rng.standard_normal())
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.asarray(0, dtype=np.int64)
    if leaf == "running_var":
        return (0.5 + np.abs(x)).astype(np.float32)
    if len(shape) >= 2:
        fan_in = int(np.prod(shape[1:]))
        return (gain * x / np.sqrt(fan_in)).astype(np.float32)
    if leaf == "weight":  # norm scales stay near one
        return (1.0 + 0.1 * x).astype(np.float32)
    return (0.1 * x).astype(np.float32)


def state(path: Path) -> dict[str, np.ndarray]:
    """All tensors of one vector file, by the authors' names."""
    spec = json.loads(path.read_text())
    return {name: tensor(name, shape, spec["gain"]) for name, shape in spec["tensors"].items()}


def inputs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Visible (3, H, W) RGB and infrared (1, H, W), float32 in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = 0.5 + 0.3 * np.sin(x / 7.0) * np.cos(y / 11.0)
    vis = np.stack([base, 0.8 * base + 0.1, 0.6 * base + 0.2 * np.sin((x + y) / 13.0) ** 2])
    ir = np.exp(-(((x - width * 0.6) / 9.0) ** 2 + ((y - height * 0.5) / 13.0) ** 2))
    ir = 0.15 + 0.7 * ir + 0.1 * np.sin(x / 5.0) ** 2
    return np.clip(vis, 0, 1).astype(np.float32), np.clip(ir, 0, 1).astype(np.float32)[None]
