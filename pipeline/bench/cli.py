"""The command `fusecam bench`. Only typer is imported until it runs, so that registering it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

WHAT, OUTPUT = "What to measure", "Where it goes"


def _option(*names: str, panel: str = WHAT, metavar: str | None = None, default: bool = False, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, show_default=default, **more)


def bench(
    engine: Annotated[
        list[str] | None,
        _option(
            metavar="NAME",
            help="NAME[:BACKEND[:PRECISION]]; what is left out stands for all there is. May be given several times. "
            "Default: every real-time engine that this machine can run; iassf, dfvo and lure by name.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        _option(metavar="WxH", help="Size of the frames; may be given several times. Default: 640x480."),
    ] = None,
    repeats: Annotated[
        int, _option(metavar="N", min=1, default=True, help="Frames timed, in rounds, each after 10 warm-ups.")
    ] = 500,
    weights: Annotated[
        Path | None,
        _option(
            metavar="FILE", help="Another detector than our own. A .pt file is a pickle: load only what you trust."
        ),
    ] = None,
    chain: Annotated[
        bool,
        _option(
            "--chain/--no-chain",
            help="Also run the whole chain, with and without the detector, recorded and live. Default: on.",
        ),
    ] = True,
    fps: Annotated[
        float,
        _option(metavar="N", min=1, max=1000, default=True, help="Pace of the cameras in the whole chain's live runs."),
    ] = 30.0,
    json: Annotated[
        Path | None,
        _option("--json", panel=OUTPUT, metavar="FILE", help="Write everything measured, with the machine."),
    ] = None,
) -> None:
    """Measure engines side by side, the detector, and the whole chain stage by stage, on the sample clips.

    Each engine runs in processes of its own, in five rounds by turns with the
    others, so that a slow minute of the machine is shared. Eager torch runs
    twice: plain, and with channels-last weights and freed memory kept, which
    is the fair baseline. The whole chain runs with the engines named, or the default one:
    two H.264 streams in, fused H.264 with overlay out. First as recordings, as
    fast as it goes, then live, as from two cameras of --fps frames a second.

    On an otherwise idle machine only: a busy one is noticed and told.
    """
    from ...engines.host.terminal import Terminal
    from .plan import DEFAULT_SIZE, make_plan
    from .run import run_bench

    plan = make_plan(engine or [], size or [DEFAULT_SIZE], repeats, weights, chain, fps)
    raise typer.Exit(run_bench(plan, json, Terminal(emoji=False), Terminal(stderr=True, emoji=False)))
