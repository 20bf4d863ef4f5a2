"""Creates the README's animation: visible | infrared | fused with boxes, from the sample clips.

python -m fusecam.samples.make_picture samples/fusion.webp
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

FOLDER = Path(__file__).parent
SCENES = ("fog_day", "clear_night", "fog_night")
PANEL = (320, 228)
TOP = 24  # rows of the overlay line, cut off because it shows the latency of the machine
START_S, SECONDS, FPS = 2.5, 2.4, 8


def frames(path: Path, times: npt.NDArray[np.float64]) -> list[Image.Image]:
    """Frames of a clip nearest to `times` in seconds, cropped and resized to PANEL."""
    with av.open(str(path)) as container:
        clip = [(frame.time, Image.fromarray(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)]
    stamps = np.array([time for time, _ in clip], float)
    chosen = np.abs(stamps[None] - times[:, None]).argmin(axis=1)
    images = [clip[index][1] for index in chosen]
    return [
        image.resize(PANEL, Image.Resampling.LANCZOS, (0, round(image.height * TOP / 480), *image.size))
        for image in images
    ]


def main() -> None:
    """Fuse each clip with the installed `fusecam` and write the middle parts as one animated WebP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    truth = yaml.safe_load((FOLDER / "truth.yaml").read_text(encoding="utf-8"))
    times = START_S + np.arange(round(SECONDS * FPS)) / FPS
    pages = []
    with tempfile.TemporaryDirectory() as folder:
        for scene in SCENES:
            visible, infrared = FOLDER / f"{scene}_vis.mp4", FOLDER / f"{scene}_ir.mp4"
            fused = Path(folder) / f"{scene}.mp4"
            offset = truth["scenes"][scene]["time_offset_ms"] / 1000
            command: list[str | Path] = [Path(sys.executable).with_name("fusecam"), "--ir", infrared, "--vis", visible]
            command += ["--rig", FOLDER / "rig.yaml", "--offset-ms", str(1000 * offset), "--track", "--out", fused]
            subprocess.run(command, check=True)
            for row in zip(frames(visible, times), frames(infrared, times - offset), frames(fused, times), strict=True):
                page = Image.new("RGB", (len(row) * PANEL[0], PANEL[1]))
                for column, panel in enumerate(row):
                    page.paste(panel, (column * PANEL[0], 0))
                pages.append(page)
    pages[0].save(out, save_all=True, append_images=pages[1:], duration=1000 // FPS, loop=0, quality=75, method=6)


if __name__ == "__main__":
    main()
