"""Evaluation of temporal stability of fused videos: flicker and pumping of sources and methods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import zip_longest
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...engines.base import FusionEngine
from ...pipeline.config import SourceConfig
from ...pipeline.core.frames import Camera, Frame
from ...pipeline.errors import InputError
from ...pipeline.sources.opening import open_source
from ..errors import TrainError, as_train_error
from ..metrics.arrays import Colour, Gray, gray
from ..metrics.steadiness import LAG, Steadiness
from .output import check_writable, new_table, say_written, write_csv
from .scenes import REGISTER, mean_and_maximum
from .settings import Settings

DIGITS = 2
TABLE = "steadiness.csv"
LEGEND = (
    "In grey levels, where both cameras stand still (lower is better). flicker: mean change of a pixel from frame to "
    f"frame; ratio: over the larger of both cameras'. pumping: mean change over {LAG} frames, of blocks of 16x16 "
    "pixels, beyond that of both cameras; 99 %: of the worst blocks."
)


def run_video(settings: Settings, console: Console) -> dict[str, dict[str, float]]:
    """Evaluate, print the table, write steadiness.csv if `out` is set; returns the metrics by row.

    settings: infrared, visible and `fused` are videos, or folders of frames in order. Raises TrainError or EngineError.
    """
    if not settings.fused and not settings.engines:
        raise TrainError("nothing to evaluate: give --fused VIDEO, --engine NAME, or both")
    if settings.out is not None:
        check_writable(settings.out, {TABLE: b"row,"})
    engines = settings.create_engines()
    measured = Steadiness()
    with as_train_error(InputError):
        for pair, methods in _frames(settings, engines):
            measured.add(*pair, methods)
    scores = measured.scores()
    console.print(_table(scores, measured.still))
    console.print()
    console.print(LEGEND, style="dim")
    if settings.out is not None:
        path = settings.out / TABLE
        lines = ({name: f"{value:.6g}" for name, value in values.items()} for values in scores.values())
        write_csv(path, [{"row": row} | line for row, line in zip(scores, lines, strict=True)])
        say_written([path], console)
    return scores


def _frames(
    settings: Settings, engines: Mapping[str, FusionEngine]
) -> Iterator[tuple[tuple[Colour, Gray], dict[str, Gray | Colour]]]:
    """Yield the frames of both cameras, (visible, infrared), and the fused frames by row."""
    with ExitStack() as opened:

        def read(path: Path, camera: Camera) -> Iterator[Frame]:
            return iter(opened.enter_context(closing(open_source(str(path), camera, SourceConfig()))))

        paths = [settings.visible, settings.infrared, *settings.fused.values()]
        cameras: list[Camera] = ["visible", "infrared"]
        cameras += ["visible"] * len(settings.fused)
        before: int | None = None
        for moment in zip_longest(*map(read, paths, cameras)):
            frames = [frame for frame in moment if frame is not None]
            if len(frames) < len(paths):
                ended = paths[moment.index(None)]
                raise TrainError(f"{ended}: ends before the others: give videos with equal numbers of frames")
            visible, infrared, *fused = (frame.pixels for frame in frames)
            for path, pixels in zip(paths, (visible, infrared, *fused), strict=True):
                if pixels.shape[:2] != visible.shape[:2]:
                    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                    raise TrainError(f"{path}: {size} beside {visible.shape[1]}x{visible.shape[0]}; {REGISTER}")
            coverage = np.full_like(infrared, 255)
            elapsed = None if before is None else (frames[0].time_ns - before) / 1e9
            before = frames[0].time_ns
            rows: dict[str, Gray | Colour] = {**mean_and_maximum(gray(visible), infrared)}
            rows |= dict(zip(settings.fused, fused, strict=True))
            for name, engine in engines.items():
                rows[name] = engine.fuse(visible, infrared, coverage, elapsed).image
            yield (visible, infrared), rows


def _table(scores: Mapping[str, Mapping[str, float]], still: float) -> Table:
    title = f"Steadiness where nothing moves: {100 * still:.0f} % of the frame"
    table = new_table(title, next(iter(scores.values())))
    for row, values in scores.items():
        table.add_row(Text(row), *("-" if math.isnan(v) else f"{v:.{DIGITS}f}" for v in values.values()))
    return table
