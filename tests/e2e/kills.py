"""Kill -9 at random moments of a batch and of a recording: `python -m tests.e2e.kills --times 50`.

A batch of short clips is killed again and again, each time started anew, until it is through; what it then has must be
what an undisturbed run has, no finished clip may ever be lost, and every video in place must be whole. A recording is
killed as often; every segment that it leaves must be playable, up to its last second.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from fusecam.pipeline.sinks.recording.manifest import TRACKS

from .command import COMMAND, DETECTING, pair_of_clips

COMMON = DETECTING
LOST = 30
"""Frames at 25 fps that a killed recording may lack: a second, and what was under way."""


class Broken(Exception):
    """Something did not survive."""


def frames_of(path: Path) -> int:
    """How many frames of a video can be decoded. Broken where it does not open."""
    try:
        with av.open(str(path)) as clip:
            return sum(1 for _ in clip.decode(video=0))
    except av.FFmpegError as error:
        raise Broken(f"{path.name} is not playable: {error}") from error


def contents(folder: Path) -> dict[str, str]:
    """Hash of every video and every file of lines of a batch."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".mp4", ".jsonl")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run_for(seconds: float | None, out: Path, *arguments: object, first: str = "*") -> tuple[int, float]:
    """Start the command, kill it so many seconds after its first file in `out` appeared (None: let it end).

    first: pattern of that file.

    Returns its return code, -9 when killed, and how long it ran from that file on.
    """
    before = set(out.glob(first))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not set(out.glob(first)) - before:
        time.sleep(0.005)
    began = time.monotonic()
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return process.returncode, time.monotonic() - began
    if process.returncode:
        raise Broken(f"exit code {process.returncode}: {said[-400:]}")
    return 0, time.monotonic() - began


def kill_batch(folder: Path, times: int, chance: random.Random, clips: int = 6, frames: int = 60) -> int:
    """Returns how often it was killed: `times`, in as many batches as that takes."""
    drives = folder / "drives"
    for number in range(clips):
        pair_of_clips(drives, name=f"c{number}", frames=frames)
    whole = folder / "whole"
    _, took = run_for(None, whole, "batch", drives, drives, "--out", whole, *COMMON)
    expected, kills, round_ = contents(whole), 0, 0
    while kills < times:
        round_ += 1
        out = folder / f"out{round_}"
        finished: dict[str, int] = {}
        while True:
            limit = chance.uniform(0.0, 1.0) * took if kills < times else None
            code, _ = run_for(limit, out, "batch", drives, drives, "--out", out, *COMMON)
            kills += code != 0
            now = {path.name: path.stat().st_mtime_ns for path in out.glob("*.report.json")} if out.exists() else {}
            lost = [name for name, written in finished.items() if now.get(name) != written]
            if lost:
                raise Broken(f"finished clips were lost or done again: {', '.join(lost)}")
            finished = now
            for video in out.glob("*.mp4"):
                if frames_of(video) != frames:
                    raise Broken(f"{video.name} is in place with {frames_of(video)} of {frames} frames")
            if code == 0:
                break
        if contents(out) != expected:
            raise Broken(f"round {round_}: the result differs from that of an undisturbed run")
        if leftovers := [path.name for path in out.iterdir() if ".partial" in path.name]:
            raise Broken(f"left over: {', '.join(leftovers)}")
        print(f"batch: {kills} of {times} kills, {round_} times through with the same result", flush=True)
    return kills


def kill_recording(folder: Path, times: int, chance: random.Random) -> tuple[int, int]:
    """Returns how many segments were left, and how many frames they lack altogether."""
    ir, vis = pair_of_clips(folder, frames=1500, name="long")
    config = folder / "run.yaml"
    config.write_text("record: {segment_s: 5}\n")
    segments = missing = 0
    for number in range(times):
        out = folder / f"record{number}"
        order = "--ir", ir, "--vis", vis, "--config", config, "--record", out, *COMMON
        run_for(chance.uniform(0.5, 6.0), out, *order, first="*.jsonl")  # the manifest is there before the engine is
        for track, name in TRACKS.items():
            for lines in sorted(out.glob(f"*_{name}.jsonl")):
                written = lines.read_bytes().count(b"\n")
                video = lines.with_name(lines.name.replace(f"_{name}.jsonl", f"_{track}.mp4"))
                if written <= LOST and (not video.exists() or not video.stat().st_size):
                    continue
                there = frames_of(video) if written > LOST else 0
                if not written - LOST <= there <= written + 1:
                    raise Broken(f"{video.name}: {there} of {written} frames")
                missing += max(0, written - there)
                segments += 1
        if number % 10 == 9:
            print(f"recording: {number + 1} of {times} kills, {segments} videos playable", flush=True)
    return segments, missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            kills = kill_batch(Path(folder), options.times, chance)
            segments, missing = kill_recording(Path(folder), options.times, chance)
    except Broken as error:
        sys.exit(f"after a kill: {error}")
    print(f"batch killed {kills} times, recording {options.times} times; {segments} videos playable, "
          f"{missing / max(segments, 1):.1f} frames short of their lines on average")  # fmt: skip


if __name__ == "__main__":
    main()
