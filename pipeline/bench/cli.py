"""The command `fusecam bench`. Only typer is imported until it runs, so that registering it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...engines.host.options import flag, option, place

INPUT, OUTPUT = "Input", "Output"


def bench(
    engine: Annotated[
        list[str] | None,
        option(
            panel=INPUT,
            metavar="NAME",
            help="NAME[:BACKEND[:PRECISION]]; omitted parts: all. Repeatable. Default: every real-time engine.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None, option(panel=INPUT, metavar="WxH", help="Frame size. Repeatable. Default: 640x480.")
    ] = None,
    repeats: Annotated[
        int, option(panel=INPUT, metavar="N", min=1, default=True, help="Timed frames, after 10 of warm-up a round.")
    ] = 500,
    chain: Annotated[
        bool, flag("--chain/--no-chain", panel=INPUT, help="Also the whole chain, recorded and live. Default: on.")
    ] = True,
    fps: Annotated[
        float, option(panel=INPUT, metavar="N", min=1, max=1000, default=True, help="Frame rate of the live chain.")
    ] = 30.0,
    detector: Annotated[
        Path | None,
        option(panel=INPUT, metavar="FILE", help="Another detector. A .pt file is a pickle: load only what you trust."),
    ] = None,
    json: Annotated[
        Path | None,
        option("--json", panel=OUTPUT, parser=place, metavar="FILE", help="Write all figures, with the machine."),
    ] = None,
) -> None:
    """Measure engines, the detector and the whole chain, on the sample clips.

    Each engine runs in its own process. Engines take turns in five rounds, so
    that a slow minute affects all. The baseline is eager PyTorch, plain and tuned
    (channels-last, freed memory kept). The chain reads two H.264 streams and
    writes one with overlay: as fast as it can, then live at --fps, with and
    without detection. Use an idle machine; a busy one is reported.
    """
    from ...engines.host.terminal import Terminal
    from .plan import DEFAULT_SIZE, make_plan
    from .run import run_bench

    plan = make_plan(engine or [], size or [DEFAULT_SIZE], repeats, detector, chain, fps)
    raise typer.Exit(run_bench(plan, json, Terminal(emoji=False), Terminal(stderr=True, emoji=False)))
