"""Renders the sample clips: `python -m fusecam.samples.render --out DIR [--scene NAME] [--seconds S]`."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import cv2
import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fusecam.calib.atomic import atomic
from fusecam.calib.rig import Rig
from fusecam.calib.rig import load_rig as read_rig

from .camera import VISIBLE_RATE, Cameras
from .scene import SCENES, Scene
from .sensor import COLD, HOT
from .textures import Array
from .truth import DEPTH_FAR, DEPTH_NEAR, SKY, encode_depth
from .world import World

RIG_FILE = Path(__file__).parent / "rig.yaml"
SECONDS = 7.0
_QUALITY = {"vis": 23, "clear": 27, "ir": 20, "depth": 24}
_NIGHT_QUALITY = _QUALITY | {"vis": 25}  # most of a night clip is noise; a higher quality would exceed 8 MB


def load_rig() -> Rig:
    """Load the rig of the sample clips."""
    return read_rig(RIG_FILE)


@contextmanager
def clip_writer(path: Path, size: tuple[int, int], rate: int, quality: int) -> Iterator[Callable[[Array], None]]:
    """Yield a function that appends a frame, (h, w, 3) RGB or (h, w) gray uint8, to an mp4 in H.264.

    Frame n is presented at exactly n / rate seconds. The file appears under its name when the block ends without an
    error. size: (width, height), both even. quality: x264's constant rate factor, lower is better.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with atomic(path) as aside, av.open(str(aside.path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        # a single thread makes the output of x264 deterministic
        stream.options = {"crf": str(quality), "preset": "slow", "threads": "1", "flags": "+bitexact"}
        numbers = count()

        def write(image: Array) -> None:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.ndim == 3 else "gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = next(numbers), Fraction(1, rate)
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode(None))


def render_scene(scene: Scene, rig: Rig, out: Path, seconds: float, progress: Progress) -> None:
    """Write the four clips and the truth file of one scene to `out`."""
    visible_count, infrared_count = round(seconds * VISIBLE_RATE), round(seconds * scene.infrared_rate)
    task = progress.add_task(scene.name, total=visible_count + infrared_count)
    cameras = Cameras(World(scene), rig)
    quality = _NIGHT_QUALITY if scene.night else _QUALITY
    with ExitStack() as stack:

        def clip(kind: str, size: tuple[int, int], rate: int) -> Callable[[Array], None]:
            return stack.enter_context(clip_writer(out / f"{scene.name}_{kind}.mp4", size, rate, quality[kind]))

        visible, clear, depth = (clip(kind, rig.visible.size, VISIBLE_RATE) for kind in ("vis", "clear", "depth"))
        lines = []
        for number in range(visible_count):
            exposure = cameras.visible(number)
            visible(exposure.visible)
            clear(exposure.clear)
            depth(encode_depth(exposure.depth))
            objects = [box.record() for box in exposure.boxes]
            lines.append(json.dumps({"frame": number, "time": number / VISIBLE_RATE, "objects": objects}))
            progress.advance(task)
        infrared = clip("ir", rig.infrared.size, scene.infrared_rate)
        for number in range(infrared_count):
            infrared(cameras.infrared(number))
            progress.advance(task)
    (out / f"{scene.name}_truth.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def truth_of(scene: Scene) -> dict[str, Any]:
    """Entry of a scene in `truth.yaml`."""
    air = scene.air
    return {
        "time_offset_ms": scene.time_offset_ms,
        "visible_rate": VISIBLE_RATE,
        "infrared_rate": scene.infrared_rate,
        "night": scene.night,
        "fog": {
            "beta_visible": air.beta_visible,
            "beta_infrared": air.beta_infrared,
            "airlight_linear_rgb": list(air.airlight),
            "airlight_rgb8": [round(255 * value ** (1 / 2.2)) for value in air.airlight],
            "air_celsius": air.celsius,
        },
        "seed": scene.seed,
        "zebra_at_m": scene.zebra,
    }


def write_truth(out: Path) -> None:
    """Write `truth.yaml` for all scenes, and the rig file next to it."""
    content = {
        "convention": "time_offset_ms added to infrared times gives visible times",
        "depth": {
            "near_m": DEPTH_NEAR,
            "far_m": DEPTH_FAR,
            "sky_level": SKY,
            "formula": "near * (far / near) ** (level / 254)",
        },
        "infrared_range_celsius": [COLD, HOT],
        "scenes": {name: truth_of(scene) for name, scene in SCENES.items()},
    }
    (out / "truth.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    if out.resolve() != RIG_FILE.parent:
        shutil.copyfile(RIG_FILE, out / RIG_FILE.name)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.2 <= value <= 8.0:
        raise argparse.ArgumentTypeError(f"{text}: a scene lasts from 0.2 to 8 seconds")
    return value


def main(arguments: list[str] | None = None) -> None:
    """Render the sample clips."""
    parser = argparse.ArgumentParser(
        prog="python -m fusecam.samples.render",
        description="Render fusecam's sample clips: visible, infrared, fog-free reference, depth and ground truth.",
        epilog="example: python -m fusecam.samples.render --out /tmp/clips --scene fog_day --seconds 2",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into (made if absent)")
    parser.add_argument("--scene", choices=list(SCENES), help="one scene only (default: all three)")
    parser.add_argument("--seconds", type=_seconds, default=SECONDS, metavar="S", help="length, 0.2 to 8 (default: 7)")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    chosen = [SCENES[options.scene]] if options.scene else list(SCENES.values())
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with Progress(*columns) as progress:
            for scene in chosen:
                render_scene(scene, load_rig(), options.out, options.seconds, progress)
        write_truth(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write ({error.strerror}); choose a folder you can write to")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted; the scene in progress was discarded\n")


if __name__ == "__main__":
    main()
