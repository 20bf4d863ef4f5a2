"""The command `fusecam eval`. Only typer is imported until it runs, so that registering it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

INPUT, HOW, FOUND, OUTPUT = "Input", "Processing", "Detection", "Output"


def _option(*names: str, panel: str, metavar: str | None = None, default: bool = False, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, show_default=default, **more)


def evaluate(
    ir: Annotated[Path, _option(panel=INPUT, metavar="DIR", help="Infrared images, registered onto the visible ones.")],
    vis: Annotated[Path, _option(panel=INPUT, metavar="DIR", help="Visible images as they were fed to the fusion.")],
    fused: Annotated[
        list[str] | None,
        _option(panel=INPUT, metavar="[NAME=]DIR", help="Fused images of a method; may be given several times."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        _option(
            panel=INPUT,
            metavar="NAME",
            help="Fuse with this engine, NAME[:BACKEND[:PRECISION]], and score it; may be given several times.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        _option(panel=INPUT, metavar="DIR", help="Clear visible images to score against. Default: those of --vis."),
    ] = None,
    restored_reference: Annotated[
        Path | None,
        _option(
            panel=INPUT,
            metavar="DIR",
            help="What the engine's restored visible images should be. Default: those of --reference.",
        ),
    ] = None,
    dehaze: Annotated[
        str, _option(panel=HOW, metavar="0..1|auto", default=True, help="How much haze the engine removes.")
    ] = "auto",
    lift: Annotated[
        str,
        _option(
            panel=HOW, metavar="0..1|auto", default=True, help="How far the engine lifts darkness; 0 keeps it dark."
        ),
    ] = "auto",
    hue: Annotated[
        str,
        _option(
            panel=HOW,
            metavar="0..1|auto",
            default=True,
            help="How far the engine colours what is warm; 0 to compare metrics of luma.",
        ),
    ] = "auto",
    prompt: Annotated[
        str,
        _option(
            panel=HOW,
            metavar="TEXT|auto",
            default=True,
            help="What is wrong with the pictures, in words, such as 'foggy night', instead of --dehaze and --lift.",
        ),
    ] = "auto",
    half: Annotated[
        str | None,
        _option(
            panel=HOW,
            metavar="select|report",
            help="Of the scenes by name the 1st, 3rd, 5th ... (select: choose settings there) or the others (report).",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        _option(
            panel=INPUT,
            metavar="CSV",
            help="Which images of --vis and --ir belong together: columns visible,infrared. Default: by their names.",
        ),
    ] = None,
    every: Annotated[
        int, _option(panel=HOW, metavar="N", min=1, default=True, help="Take every Nth scene by name, from the first.")
    ] = 1,
    split: Annotated[
        str | None,
        _option(
            panel=HOW,
            metavar="RULE",
            help="Tables by name ending too: D=day,N=night; 'msrs' is short for that.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        _option(panel=HOW, metavar="N", min=1, help="Processes that score. Default: one per core, 8 at most."),
    ] = None,
    video: Annotated[
        bool,
        _option(
            "--video",
            panel=HOW,
            help="Score how steady the fused video is instead: --ir, --vis and --fused are videos of the same frames, "
            "or folders of them in order.",
        ),
    ] = False,
    detect: Annotated[
        bool,
        _option(
            "--detect",
            panel=FOUND,
            help="Score what a detector finds in each kind of frame instead: mAP50, mAP50-95, precision, recall.",
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        _option(
            panel=HOW,
            metavar="DIR",
            help="Boxes by the images' names: YOLO txt, 0 person, 1 bicycle, 2 car. Tells how visible these objects "
            "stay; with --detect, what is to be found.",
        ),
    ] = None,
    hazy: Annotated[
        Path | None,
        _option(panel=FOUND, metavar="DIR", help="The visible images again, in haze: further conditions."),
    ] = None,
    hazy_fused: Annotated[
        list[str] | None,
        _option(panel=FOUND, metavar="[NAME=]DIR", help="What the methods of --fused made of the hazy images."),
    ] = None,
    detector: Annotated[
        list[str] | None,
        _option(
            panel=FOUND,
            metavar="[ROW=]WEIGHTS",
            help="Weights by `fusecam train`, or YOLOv5n's of COCO as safetensors; for one row, such as "
            "'visible only=FILE', or for all. Default: fusecam's own.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        _option(
            "--out",
            "-o",
            panel=OUTPUT,
            metavar="DIR",
            help="Write per_image.csv, summary.csv, summary.json, violins.png and worst.png: the ten worst images "
            "of the last engine, or of the last method; with --labels visibility.csv and least_visible.png, too. With "
            "--detect: detection.csv, pr_curves.png, "
            "found_by_fused.png and missed_by_fused.png.",
        ),
    ] = None,
) -> None:
    """Score fused images against their sources, and show where they fail.

    Images of one scene are found by what their names share: numbers, words, the camera's marker apart. Rows for
    infrared only, visible only, average and maximum always stand beside yours.

    Metrics: EN, SD, SF, AG, MI, VIF, Qabf, QCV, SCD, CC, SSIM, MS-SSIM, PSNR,
    NIQE, CIEDE2000 chroma shift, noise in flat areas, chroma of darkness; with --engine
    also the restored visible image against the clear one; with --labels how
    visible the labelled objects stay.

    [bold]Examples[/bold]

    fusecam eval --fused RESULTS --ir IR --vis VIS

    fusecam eval --fused ours=A --fused theirs=B --ir IR --vis VIS --out REPORT

    fusecam eval --engine physics --ir IR --vis HAZY --reference CLEAR --lift 0

    fusecam eval --engine realtime --ir IR --vis VIS --labels LABELS --half report

    fusecam eval --video --engine realtime --ir IR.mp4 --vis VIS.mp4

    fusecam eval --detect --engine realtime --ir IR --vis CLEAR --hazy HAZY --labels LABELS --split msrs
    """
    from ...engines import EngineError
    from ...engines.host.terminal import Terminal, markup
    from ..errors import TrainError
    from .evaluate import default_workers
    from .run import Settings, run_evaluation

    errors = Terminal(stderr=True, emoji=False)
    try:
        given = {"--hazy": hazy, "--hazy-fused": hazy_fused, "--detector": detector}
        unread = [option for option, value in given.items() if value]
        if not detect and unread:
            raise TrainError(f"{unread[0]} scores detections: give --detect with it")
        if detect:
            if video:
                raise TrainError("--video and --detect score different things: give one of them")
            if reference or restored_reference:
                raise TrainError("--reference and --restored-reference score fusion: leave them out, or --detect")
            if labels is None:
                raise TrainError("--detect needs --labels DIR: a YOLO txt file for every image")
            if hazy_fused and hazy is None:
                raise TrainError("--hazy-fused goes with --hazy DIR, the hazy visible frames that they were made of")
            from .detect_run import DetectSettings, run_detection

            run_detection(
                DetectSettings(
                    ir,
                    vis,
                    labels,
                    hazy,
                    _methods(fused or []),
                    _methods(hazy_fused or []),
                    engine or [],
                    prompt,
                    _strength("--dehaze", dehaze),
                    _strength("--lift", lift),
                    _detectors(detector or []),
                    every,
                    split,
                    out,
                    _half(half),
                    pairs,
                    _strength("--hue", hue),
                ),
                Terminal(emoji=False),
                errors,
            )
            return
        settings = Settings(
            ir,
            vis,
            reference,
            restored_reference,
            _methods(fused or []),
            engine or [],
            prompt,
            _strength("--dehaze", dehaze),
            _strength("--lift", lift),
            every,
            split,
            out,
            workers or default_workers(),
            _half(half),
            labels,
            pairs,
            _strength("--hue", hue),
        )
        if video:
            images_only = {
                "--reference": reference,
                "--restored-reference": restored_reference,
                "--labels": labels,
                "--pairs": pairs,
                "--half": half,
                "--split": split,
                "--every": every > 1,
            }
            if unfit := [option for option, value in images_only.items() if value]:
                raise TrainError(f"{unfit[0]} is for images: leave it out, or --video")
            from .video import run_video

            run_video(settings, Terminal(emoji=False))
            return
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


def _methods(given: list[str]) -> dict[str, Path]:
    from ..errors import TrainError

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
    from ..errors import TrainError

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


def _half(text: str | None) -> Literal["select", "report"] | None:
    from ..errors import TrainError

    match text:
        case None:
            return None
        case "select":
            return "select"
        case "report":
            return "report"
    raise TrainError(f"--half {text}: give select or report")


def _strength(option: str, text: str) -> float | Literal["auto"]:
    from ..errors import TrainError

    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise TrainError(f"{option} {text}: give a number from 0 to 1, or auto")
    return value
