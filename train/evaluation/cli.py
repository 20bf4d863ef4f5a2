"""The command `fusecam eval`. Heavy imports are deferred until it runs, so that `fusecam` starts fast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ...engines.host.options import flag, option, place, strength
from ..errors import TrainError

if TYPE_CHECKING:
    from .scenes import Half
    from .settings import Settings

DETECT = "Detection and video"
given, detecting, processed = (partial(option, panel=panel) for panel in ("Input", DETECT, "Processing"))


def evaluate(
    ir: Annotated[Path, given(metavar="DIR", help="Infrared images, registered.")],
    vis: Annotated[Path, given(metavar="DIR", help="Visible images, as input to the fusion.")],
    fused: Annotated[list[str] | None, given(metavar="[NAME=]DIR", help="A method's fused images. Repeatable.")] = None,
    engine: Annotated[
        list[str] | None, given(metavar="NAME", help="Engine to fuse with and score. Repeatable.")
    ] = None,
    labels: Annotated[
        Path | None,
        given(metavar="DIR", help="YOLO labels (person, bicycle, car), for visibility or --detect."),
    ] = None,
    reference: Annotated[
        Path | None, given(metavar="DIR", help="Clear visible images (ground truth). Default: --vis.")
    ] = None,
    restored_reference: Annotated[
        Path | None, given(metavar="DIR", help="Ground truth of restored images. Default: --reference.")
    ] = None,
    pairs: Annotated[
        Path | None, given(metavar="CSV", help="Pairs: columns visible,infrared. Default: by name.")
    ] = None,
    detect: Annotated[
        bool, flag("--detect", panel=DETECT, help="Evaluate detection instead: mAP, precision, recall.")
    ] = False,
    video: Annotated[
        bool, flag("--video", panel=DETECT, help="Evaluate temporal stability of videos instead.")
    ] = False,
    hazy: Annotated[Path | None, detecting(metavar="DIR", help="Hazy --vis, for --detect.")] = None,
    hazy_fused: Annotated[
        list[str] | None, detecting(metavar="[NAME=]DIR", help="Fused images of --hazy. Repeatable.")
    ] = None,
    disturb: Annotated[
        bool,
        flag("--disturb", panel=DETECT, help="Also infrared shifted, rotated or frozen, and lost cameras."),
    ] = False,
    detector: Annotated[
        list[str] | None,
        detecting(metavar="[ROW=]FILE", help="Weights, for one row ('visible only=FILE') or all rows."),
    ] = None,
    every: Annotated[int, processed("--stride", metavar="N", min=1, default=True, help="Every Nth scene by name.")] = 1,
    split: Annotated[
        str | None,
        processed("--group-by", metavar="RULE", help="Group by name suffix: D=day,N=night, or msrs for that."),
    ] = None,
    half: Annotated[
        str | None,
        processed(metavar="select|report", help="Scenes 1, 3, 5 ... (for tuning) or 2, 4, 6 ... by name."),
    ] = None,
    dehaze: Annotated[str, processed(metavar="0..1|auto", default=True, help="Haze removal.")] = "auto",
    lift: Annotated[str, processed(metavar="0..1|auto", default=True, help="Low-light enhancement.")] = "auto",
    hue: Annotated[
        str, processed(metavar="0..1|auto", default=True, help="Amber colour; use 0 for luma metrics.")
    ] = "auto",
    prompt: Annotated[str, processed(metavar="TEXT|auto", default=True, help="Degradations: 'foggy night'.")] = "auto",
    workers: Annotated[
        int | None, processed(metavar="N", min=1, help="Processes. Default: one per core, 8 at most.")
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            "-o",
            panel="Output",
            parser=place,
            metavar="DIR",
            help="CSV and JSON tables, plots, and the worst images.",
        ),
    ] = None,
) -> None:
    """Score fused images with EN, SD, SF, AG, MI, VIF, Qabf, QCV, SCD, CC, SSIM,
    MS-SSIM, PSNR01, NIQE, CIEDE2000 and noise; --engine adds restoration metrics.

    Images pair by name, as in a run. Infrared only, visible only,
    average and maximum are listed for comparison.

    [bold]Examples[/bold]

    fusecam eval --fused ours=A --fused theirs=B --ir IR --vis VIS --out REPORT

    fusecam eval --engine physics --ir IR --vis HAZY --reference CLEAR --lift 0

    fusecam eval --video --engine realtime --ir IR.mp4 --vis VIS.mp4

    fusecam eval --detect --labels LABELS --engine realtime --ir IR --vis VIS
    """
    from ...engines import EngineError
    from ...engines.host.terminal import Terminal, markup
    from .evaluate import default_workers
    from .settings import Settings

    errors = Terminal(stderr=True, emoji=False)
    try:
        settings = Settings(
            ir,
            vis,
            labels=labels,
            reference=reference,
            restored_reference=restored_reference,
            fused=_methods(fused or []),
            engines=engine or [],
            prompt=prompt,
            dehaze=strength("--dehaze", dehaze, TrainError),
            lift=strength("--lift", lift, TrainError),
            hue=strength("--hue", hue, TrainError),
            every=every,
            split=split,
            half=_half(half),
            pairs=pairs,
            out=out,
            workers=workers or default_workers(),
            hazy=hazy,
            hazy_fused=_methods(hazy_fused or []),
            detectors=_detectors(detector or []),
            disturb=disturb,
        )
        _check(settings, detect, video)
        if detect:
            from .detection.run import run_detection

            run_detection(settings, Terminal(emoji=False), errors)
        elif video:
            from .video import run_video

            run_video(settings, Terminal(emoji=False))
        else:
            from .run import run_evaluation

            run_evaluation(settings, Terminal(emoji=False), errors)
    except (TrainError, EngineError) as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        message = "--out needs matplotlib, which is not installed: pip install 'fusecam[train]', or omit --out"
    else:
        return
    errors.print(f"[bold red]fusecam: error:[/] {markup(message)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _check(settings: Settings, detect: bool, video: bool) -> None:
    """Raise TrainError for incompatible options."""
    from .evaluate import BASELINES
    from .scenes import MAXIMUM

    detection_options = {
        "--hazy": settings.hazy,
        "--hazy-fused": settings.hazy_fused,
        "--detector": settings.detectors,
        "--disturb": settings.disturb,
    }
    fusion_options = {"--reference": settings.reference, "--restored-reference": settings.restored_reference}
    image_options = fusion_options | {
        "--labels": settings.labels,
        "--pairs": settings.pairs,
        "--half": settings.half,
        "--group-by": settings.split,
        "--stride": settings.every > 1,
    }
    if not detect and (unused := _first_set(detection_options)):
        raise TrainError(f"{unused} needs --detect: give --detect with it")
    if detect and video:
        raise TrainError("--video and --detect cannot be combined: give one of them")
    if detect and _first_set(fusion_options):
        raise TrainError("--reference and --restored-reference cannot be combined with --detect")
    if detect and settings.labels is None:
        raise TrainError("--detect needs --labels DIR: a YOLO txt file for every image")
    taken = [] if detect else [name for name in settings.fused if name in (*BASELINES, *settings.engine_rows)]
    if taken:
        raise TrainError(f"--fused {taken[0]}: there is another row of that name: give NAME=DIR")
    if not detect and MAXIMUM in settings.engines:
        raise TrainError(f"--engine {MAXIMUM}: is no engine, but always evaluated for comparison: leave it out")
    if settings.hazy_fused and settings.hazy is None:
        raise TrainError("--hazy-fused needs --hazy DIR, the hazy visible images that were fused")
    if video and (unused := _first_set(image_options)):
        raise TrainError(f"{unused} is for images: it cannot be combined with --video")


def _first_set(options: Mapping[str, object]) -> str | None:
    """Name of the first option that is set."""
    return next((option for option, value in options.items() if value), None)


def _methods(specs: list[str]) -> dict[str, Path]:
    """Parse [NAME=]DIR; the default name is that of the folder."""
    methods: dict[str, Path] = {}
    for text in specs:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            name, folder = Path(text).resolve().name, text
        if not name or not folder:
            raise TrainError(f"--fused {text}: give DIR or NAME=DIR")
        if name in methods:
            raise TrainError(f"--fused {text}: another method called {name} exists: give NAME=DIR")
        methods[name] = Path(folder)
    return methods


def _detectors(specs: list[str]) -> dict[str, Path]:
    """Parse [ROW=]FILE; the row "" stands for all rows."""
    detectors: dict[str, Path] = {}
    for text in specs:
        row, equals, weights = text.partition("=")
        if not equals or Path(text).exists():
            row, weights = "", text
        if row in detectors:
            raise TrainError(f"--detector {text}: {f'row {row} has' if row else 'there are'} other weights already")
        if not Path(weights).is_file():
            raise TrainError(f"--detector {text}: no such file: give weights, or ROW=WEIGHTS")
        detectors[row] = Path(weights)
    return detectors


def _half(text: str | None) -> Half | None:
    if text not in (None, "select", "report"):
        raise TrainError(f"--half {text}: give select or report")
    return cast("Half | None", text)
