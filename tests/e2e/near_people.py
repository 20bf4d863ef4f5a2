"""How many of the sample clips' people nearer than 25 m a run finds, by the renderer's boxes.

    fusecam demo && python -m tests.e2e.near_people fusecam-demo

FOLDER holds SCENE.jsonl of the three clips. A person counts in the frames in which more than half of them is to be seen
(`--least 0`: in all), as found where a person's box overlaps theirs by more than half. People: those found in 80 % of
their frames. On nobody: people's boxes that overlap nothing that is there by a tenth.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ..pipeline.detectors import SAMPLES
from .command import json_lines

SCENES = "fog_day", "clear_night", "fog_night"
NEAR_M = 25
ENOUGH = 0.8


class Found(NamedTuple):
    """By a person's number: in how many frames they are to be seen, and found. on_nobody: boxes where nothing is."""

    seen: Counter[int]
    found: Counter[int]
    on_nobody: int

    @property
    def missed(self) -> dict[int, str]:
        """Who is found in too few frames: in how many of how many."""
        return {who: f"{self.found[who]} of {n}" for who, n in self.seen.items() if self.found[who] < ENOUGH * n}


def count_near(lines: Sequence[dict[str, Any]], scene: str, least: float = 0.5) -> Found:
    """lines: a run's JSON lines. least: part of a person that more than must be to be seen."""
    seen, found, on_nobody = Counter[int](), Counter[int](), 0
    truth = (SAMPLES / f"{scene}_truth.jsonl").read_text().splitlines()
    for line, true in zip(lines, map(json.loads, truth), strict=True):
        people = [d["box"] for d in line["detections"] if d["class"] == "person"]
        for one in true["objects"]:
            visible = one["visible_fraction"] * (1 - one["truncation"])
            if one["class"] == "person" and one["distance"] < NEAR_M and visible > least:
                seen[one["id"]] += 1
                found[one["id"]] += any(overlap(one["box"], box) > 0.5 for box in people)
        on_nobody += sum(all(overlap(one["box"], box) < 0.1 for one in true["objects"]) for box in people)
    return Found(seen, found, on_nobody)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, x1, y1, x2, y2."""
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--least", type=float, default=0.5, metavar="PART", help="of a person, 0 to 1; default: 0.5")
    arguments = parser.parse_args()
    table = Table("scene", "people", "frames", "on nobody", "short")
    for scene in SCENES:
        got = count_near(json_lines(arguments.folder / f"{scene}.jsonl"), scene, arguments.least)
        share = got.found.total() / got.seen.total()
        people = f"{len(got.seen) - len(got.missed)} of {len(got.seen)}"
        short = ", ".join(f"#{who}: {frames}" for who, frames in got.missed.items())
        table.add_row(scene, people, f"{share:.0%}", str(got.on_nobody), short)
    Console().print(table)


if __name__ == "__main__":
    main()
