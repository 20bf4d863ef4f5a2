"""Reads damaged files for `fuzz`: `KIND PATH` lines come in, one line of what came of each goes out."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from .command import pair_of_clips, street

ROOT = Path(__file__).resolve().parents[2]
Reader = Callable[[Path], object]
RUN_FILE = """
sources: {ir: ir.mp4, vis: vis.mp4, thermal: {range: [7000, 9500]}, camera_size: 640x512}
sync: {offset_ms: auto, tolerance_ms: 20}
engine: {name: realtime, dehaze: auto, lift: 0.5}
detector: {enabled: false, confidence: 0.3}
record: {folder: drive, quota_gb: 20}
output: {out: fused.mp4, crf: 18, preset: superfast}
max_frames: 100
"""


def readers(folder: Path) -> dict[str, tuple[Path, Reader]]:
    """By kind: a whole example, and what reads a damaged one."""
    import torch

    from fusecam.calib.rig import load_rig
    from fusecam.engines import create_engine
    from fusecam.engines.build import store
    from fusecam.engines.detection.weights import DETECTOR_WEIGHTS, load_detector
    from fusecam.engines.networks import checkpoints
    from fusecam.pipeline.batch.clips import Clip, _finished
    from fusecam.pipeline.config import DetectorConfig, SourceConfig, load
    from fusecam.pipeline.detection.detect import create_detector
    from fusecam.pipeline.registration.register import Registrar
    from fusecam.pipeline.sources import open_source

    found: dict[str, tuple[Path, Reader]] = {}

    def source(path: Path) -> None:
        for camera in ("visible", "infrared"):
            opened = open_source(str(path), camera, SourceConfig())
            for _ in opened:
                pass

    for suffix in (".mp4", ".mkv", ".ts"):
        found[suffix[1:]] = pair_of_clips(folder, frames=12, name=suffix[1:], suffix=suffix)[0], source
    cv2.imwrite(str(folder / "a.png"), street(1))
    cv2.imwrite(str(folder / "deep.png"), street(2)[..., 0].astype(np.uint16) * 200)
    cv2.imwrite(str(folder / "a.jpg"), street(3))
    found |= {"png": (folder / "a.png", source), "png16": (folder / "deep.png", source)}
    found["jpg"] = folder / "a.jpg", source

    def rig(path: Path) -> None:
        Registrar(load_rig(path)).warp((640, 480), (384, 288))

    found["rig"] = ROOT / "samples" / "rig.yaml", rig
    run_file = folder / "run.yaml"
    run_file.write_text(RUN_FILE)
    found["run-file"] = run_file, load
    report = folder / "clip.report.json"
    report.write_text('{"fingerprint": "0123", "frames": 12, "sync": {"paired": 12}}')
    found["report"] = report, lambda path: _finished(Clip(path.name[:-12], path, path, path.parent), "0123")

    network_weights = ROOT / "engines" / "weights" / "tiny.safetensors"
    place = checkpoints.weights_file

    def weights(path: Path) -> None:
        checkpoints.weights_file = lambda name: path
        try:
            checkpoints.load("tiny")
        finally:
            checkpoints.weights_file = place

    found["weights"] = network_weights, weights
    if DETECTOR_WEIGHTS.exists():
        found["detector"] = DETECTOR_WEIGHTS, load_detector
    for suffix in (".pt", ".pth"):
        torch.save({"model": {"a": torch.zeros(3)}, "epoch": 3}, folder / f"foreign{suffix}")
    found["pt"] = folder / "foreign.pt", lambda path: create_detector(DetectorConfig(weights=path))
    found["pth"] = folder / "foreign.pth", lambda path: checkpoints.import_weights("iassf", [path])

    frame = street(0), street(1)[..., 0].copy(), np.full((120, 160), 255, np.uint8)
    whole = create_engine("average:openvino").fuse(*frame).image
    for entry in store.entries():
        for file in entry.path.iterdir():
            kept = folder / f"stored_{entry.path.name[:6]}_{file.name}"
            shutil.copy(file, kept)

            def stored(path: Path, file: Path = file) -> None:
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, file)
                if not np.array_equal(create_engine("average:openvino").fuse(*frame).image, whole):
                    raise AssertionError("a damaged engine was used")

            found[f"store-{entry.path.name[:6]}-{file.name}"] = kept, stored
    return found


def main() -> None:
    """Until the input ends."""
    from fusecam.pipeline.errors import expected_errors

    folder = Path(sys.argv[1])
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        os.environ[variable] = str(folder / variable)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries write to standard output as they like
    found = readers(folder)
    for name, (example, _) in found.items():
        answers.write(f"{name} {example}\n")
    answers.write("ready\n")
    for line in sys.stdin:
        kind, _, path = line.strip().partition(" ")
        try:
            found[kind][1](Path(path))
            answers.write("fine\n")
        except expected_errors() as error:
            said = str(error)
            answers.write("told\n" if said.strip() and "\n" not in said else f"crashed: not one line: {said!r}\n")
        except Exception:
            answers.write(f"crashed {' | '.join(traceback.format_exc().splitlines()[-5:])}\n")


if __name__ == "__main__":
    main()
