"""The command `fusecam eval`. Only typer is imported until it runs, so that registering it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ...engines.host.options import option, strength
from ..errors import TrainError

if TYPE_CHECKING:
    from .scenes import Half
    from .settings import Settings

INPUT, FOUND, HOW, OUTPUT = "Input", "Detection and video", "Processing", "Output"


def evaluate(
    ir: Annotated[Path, option(panel=INPUT, metavar="DIR", help="Infrared images, registered.")],
    vis: Annotated[Path, option(panel=INPUT, metavar="DIR", help="Visible images, as given to the fusion.")],
    fused: Annotated[
        list[str] | None, option(panel=INPUT, metavar="[NAME=]DIR", help="A method's fused images. Repeatable.")
    ] = None,
    engine: Annotated[
        list[str] | None, option(panel=INPUT, metavar="NAME", help="Engine to fuse with and score. Repeatable.")
    ] = None,
    labels: Annotated[
        Path | None,
        option(panel=INPUT, metavar="DIR", help="YOLO txt (person, bicycle, car): visibility of objects, or --detect."),
    ] = None,
    reference: Annotated[
        Path | None, option(panel=INPUT, metavar="DIR", help="Clear visible images. Default: --vis.")
    ] = None,
    restored_reference: Annotated[
        Path | None, option(panel=INPUT, metavar="DIR", help="For the restored images. Default: --reference.")
    ] = None,
    pairs: Annotated[
        Path | None, option(panel=INPUT, metavar="CSV", help="Pairs: columns visible,infrared. Default: by name.")
    ] = None,
    detect: Annotated[
        bool, option("--detect", panel=FOUND, help="mAP, precision and recall of detection instead.")
    ] = False,
    video: Annotated[
        bool, option("--video", panel=FOUND, help="Steadiness of videos (--ir, --vis, --fused) instead.")
    ] = False,
    hazy: Annotated[Path | None, option(panel=FOUND, metavar="DIR", help="--vis in haze, for --detect.")] = None,
    hazy_fused: Annotated[
        list[str] | None, option(panel=FOUND, metavar="[NAME=]DIR", help="--fused from the hazy images.")
    ] = None,
    disturb: Annotated[
        bool, option("--disturb", panel=FOUND, help="Also with infrared shifted, turned, frozen, a camera lost.")
    ] = False,
    detector: Annotated[
        list[str] | None,
        option(panel=FOUND, metavar="[ROW=]FILE", help="Weights, of one row ('visible only=FILE') or all."),
    ] = None,
    every: Annotated[
        int, option("--stride", panel=HOW, metavar="N", min=1, default=True, help="Every Nth scene by name.")
    ] = 1,
    split: Annotated[
        str | None,
        option("--group-by", panel=HOW, metavar="RULE", help="Groups by name ending: D=day,N=night, or msrs for that."),
    ] = None,
    half: Annotated[
        str | None,
        option(panel=HOW, metavar="select|report", help="Scenes 1, 3, 5 ... (to tune) or 2, 4, 6 ... by name."),
    ] = None,
    dehaze: Annotated[str, option(panel=HOW, metavar="0..1|auto", default=True, help="Haze removal.")] = "auto",
    lift: Annotated[str, option(panel=HOW, metavar="0..1|auto", default=True, help="Low-light enhancement.")] = "auto",
    hue: Annotated[
        str, option(panel=HOW, metavar="0..1|auto", default=True, help="Amber tint; 0 for metrics of luma.")
    ] = "auto",
    prompt: Annotated[
        str, option(panel=HOW, metavar="TEXT|auto", default=True, help="Degradations: 'foggy night'.")
    ] = "auto",
    workers: Annotated[
        int | None, option(panel=HOW, metavar="N", min=1, help="Processes. Default: one per core, 8 at most.")
    ] = None,
    out: Annotated[
        Path | None,
        option("--out", "-o", panel=OUTPUT, metavar="DIR", help="CSV and JSON tables, plots, and the worst images."),
    ] = None,
) -> None:
    """Score fused images with EN, SD, SF, AG, MI, VIF, Qabf, QCV, SCD, CC, SSIM,
    MS-SSIM, PSNR, NIQE, CIEDE2000 and noise; --engine adds restoration metrics.

    Images pair by name without the camera's marker. Infrared only, visible only,
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
            from .detect_run import run_detection

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
        message = (
            "--out draws with matplotlib, which is not installed: pip install 'fusecam[train]', or leave --out away"
        )
    else:
        return
    errors.print(f"[bold red]fusecam: error:[/] {markup(message)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _check(settings: Settings, detect: bool, video: bool) -> None:
    """Raise TrainError for options that do not go together."""
    of_detection = {
        "--hazy": settings.hazy,
        "--hazy-fused": settings.hazy_fused,
        "--detector": settings.detectors,
        "--disturb": settings.disturb,
    }
    of_fusion = {"--reference": settings.reference, "--restored-reference": settings.restored_reference}
    of_images = of_fusion | {
        "--labels": settings.labels,
        "--pairs": settings.pairs,
        "--half": settings.half,
        "--group-by": settings.split,
        "--stride": settings.every > 1,
    }
    if not detect and (unread := _given(of_detection)):
        raise TrainError(f"{unread} scores detections: give --detect with it")
    if detect and video:
        raise TrainError("--video and --detect score different things: give one of them")
    if detect and _given(of_fusion):
        raise TrainError("--reference and --restored-reference score fusion: leave them out, or --detect")
    if detect and settings.labels is None:
        raise TrainError("--detect needs --labels DIR: a YOLO txt file for every image")
    if settings.hazy_fused and settings.hazy is None:
        raise TrainError("--hazy-fused goes with --hazy DIR, the hazy visible frames that they were made of")
    if video and (unfit := _given(of_images)):
        raise TrainError(f"{unfit} is for images: leave it out, or --video")


def _given(options: Mapping[str, object]) -> str | None:
    return next((option for option, value in options.items() if value), None)


def _methods(given: list[str]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            name, folder = Path(text).resolve().name, text
        if not name or not folder:
            raise TrainError(f"--fused {text}: give DIR or NAME=DIR")
        if name in methods:
            raise TrainError(f"--fused {text}: there is another method called {name}: give NAME=DIR")
        methods[name] = Path(folder)
    return methods


def _detectors(given: list[str]) -> dict[str, Path]:
    detectors: dict[str, Path] = {}
    for text in given:
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
