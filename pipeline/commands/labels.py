"""`fusecam labels`: the detections of a run as COCO, YOLO or MOTChallenge files.

What is heavy is imported where it is used.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...calib.atomic import naming, write_atomic
from ...calib.yaml_file import NewerFormatError, refuse_newer
from ...engines.host.options import place
from ...engines.host.terminal import Terminal, markup
from ..core.paths import check_not_input
from ..errors import InputError

if TYPE_CHECKING:
    from ..core.frames import Frame
    from ..sources import Source


class Form(StrEnum):
    """What `--to` takes."""

    COCO = "coco"
    YOLO = "yolo"
    MOT = "mot"


def labels(
    lines: Annotated[Path, typer.Argument(metavar="LINES", help="The .jsonl of a run.", show_default=False)],
    to: Annotated[
        Form,
        typer.Option(
            "--to", show_default=False, help="coco: one JSON file. yolo: a folder for Ultralytics. mot: tracks as CSV."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", parser=place, show_default=False, help="A file; for yolo a new folder."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="SOURCE",
            help="The video or folder that the boxes belong to. Default: the fused one beside LINES.",
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B", help="Classes to keep, in the order of their numbers. Default: all."),
    ] = None,
    conf: Annotated[float, typer.Option("--conf", metavar="0..1", min=0, max=1, help="Lowest score to keep.")] = 0.0,
) -> None:
    """Convert the detections of a run to labels for training and tracker evaluation.

    coco: a data set with scores, as pycocotools reads it. yolo: images/, labels/
    and data.yaml, as Ultralytics trains on them. mot: MOTChallenge's frame, id,
    left, top, width, height, score, all counted from 1; needs a run with --track.
    Predicted (coasted) boxes are written to mot only, boxes without a track to
    coco and yolo only.

    [bold]Examples[/bold]

    fusecam labels fused.jsonl --to coco -o fused.coco.json

    fusecam labels fused.jsonl --to yolo -o dataset --images vis.mp4
    """
    run = read(lines, conf, None if names is None else [name.strip() for name in names.split(",")])
    source = images or run.beside()
    check_not_input(out, (lines, source))
    if to is Form.MOT:
        write_mot(run, out)
    elif source is None:
        raise InputError(f"{lines}: no fused video or folder is beside it; name it with --images")
    else:
        (write_coco if to is Form.COCO else write_yolo)(run, out, source)
    boxes = sum(len(list(run.boxes(frame, tracked=to is Form.MOT))) for frame in run.frames)
    told = f"{len(run.frames)} frames, {boxes} boxes of {', '.join(run.classes) or 'no class'}"
    Terminal(emoji=False).print(f"wrote {markup(str(out))}: {markup(told)}", soft_wrap=True, highlight=False)


@dataclass(slots=True)
class Run:
    """A run's lines: its file, the classes in the order of their numbers, the frames."""

    path: Path
    classes: list[str]
    frames: list[dict[str, Any]] = field(default_factory=list)

    def boxes(self, frame: dict[str, Any], tracked: bool = False) -> Iterator[dict[str, Any]]:
        """Detections of a frame; tracked: numbered objects instead, found or predicted."""
        return (found for found in frame["detections"] if ("track" in found if tracked else not found.get("coasted")))

    def name(self, frame: dict[str, Any]) -> str:
        """The file name of a frame's image: its own in folders, else the run's with the frame's number."""
        return str(frame.get("image") or f"{self.path.stem}_{frame['frame']:06d}.png")

    def beside(self) -> Path | None:
        """The fused video or folder of the lines; None where there is none."""
        from ..sinks.video import FORMATS

        paths = self.path.with_suffix(""), *(self.path.with_suffix(suffix) for suffix in FORMATS)
        return next((path for path in paths if path.exists()), None)


def read(path: Path, conf: float = 0.0, classes: list[str] | None = None) -> Run:
    """Read the lines of a run.

    Args:
        path: the .jsonl.
        conf: the least score that is kept.
        classes: those that are kept, in the order of their numbers; None for all.

    Raises:
        InputError: what cannot be read, is no line of a run, or holds no detections.
    """
    from ...engines.detection.weights import DETECTOR_NAMES

    run, seen = Run(path, classes or []), set()
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not text'})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            frame = json.loads(line)
            refuse_newer(frame)
            found = [d | {"box": [float(x) for x in d["box"]], "score": float(d["score"])} for d in frame["detections"]]
            if any(len(d["box"]) != 4 for d in found) or int(frame["frame"]) < 0:
                raise ValueError
            seen |= {str(d["class"]) for d in found}
        except NewerFormatError as newer:
            raise InputError(f"{path}: {newer}") from newer
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                f"{path}: line {number} is no frame of a run; give the .jsonl that a run with detection wrote"
            ) from None
        kept = [d for d in found if d["score"] >= conf and (classes is None or d["class"] in classes)]
        run.frames.append(frame | {"detections": kept})
    if not run.frames:
        raise InputError(f"{path}: is empty; give the .jsonl that a run with detection wrote")
    if classes is None:
        run.classes = list(DETECTOR_NAMES.values()) if seen <= {*DETECTOR_NAMES.values()} else sorted(seen)
    return run


def open_pictures(source: Path, run: Run) -> Source:
    """The video or folder of a run's pictures.

    Raises:
        InputError: what is no video or folder, or has not one picture for each line.
    """
    from ..config import SourceConfig
    from ..sources import open_source

    opened = open_source(str(source), "visible", SourceConfig())
    if opened.info.frames not in (None, len(run.frames)) and opened.info.names is None:
        opened.close()
        raise InputError(
            f"{source}: has {opened.info.frames} pictures, {run.path} {len(run.frames)} lines; name the fused video, "
            "or the visible one of a whole run, with --images"
        )
    return opened


def paired(run: Run, opened: Source) -> Iterator[tuple[dict[str, Any], Frame]]:
    """Each line of a run with its picture: by name where the run was over folders, else in order.

    Raises:
        InputError: where a line has none.
    """
    stem = opened.info.names is not None
    waiting = {Path(run.name(frame)).stem if stem else number: frame for number, frame in enumerate(run.frames)}
    for number, picture in enumerate(opened):
        frame = waiting.pop(Path(picture.file or "").stem if stem else number, None)
        if frame is not None:
            yield frame, picture
    if waiting:
        first = next(iter(waiting.values()))
        raise InputError(
            f"{opened.info.spec}: has no picture for {len(waiting)} lines of {run.path} (first: {run.name(first)}); "
            "name the folder or video that belongs to them with --images"
        )


def write_coco(run: Run, out: Path, source: Path) -> None:
    """A COCO data set with the scores of the detections; categories count from 1.

    Raises:
        InputError: see `open_pictures`; what cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with closing(open_pictures(source, run)) as opened:
        for number, (frame, picture) in enumerate(paired(run, opened), start=1):
            width, height = picture.size
            images.append({"id": number, "file_name": run.name(frame), "width": width, "height": height})
            for found in run.boxes(frame):
                left, top, right, bottom = found["box"]
                more = {"track_id": found["track"]} if "track" in found else {}
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": run.classes.index(found["class"]) + 1,
                        "bbox": [left, top, round(right - left, 1), round(bottom - top, 1)],
                        "area": round((right - left) * (bottom - top), 2),
                        "iscrowd": 0,
                        "score": found["score"],
                        **more,
                    }
                )
    categories = [{"id": number, "name": name} for number, name in enumerate(run.classes, start=1)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    write_atomic(out, json.dumps(data).encode(), InputError)


def write_yolo(run: Run, out: Path, source: Path) -> None:
    """A folder for Ultralytics: images/NAME.png, labels/NAME.txt (class, centre and size over the image's), data.yaml.

    Raises:
        InputError: see `open_pictures`; a folder that is there and not empty; what cannot be written.
    """
    import cv2
    import yaml

    with closing(open_pictures(source, run)) as opened, naming(out, InputError):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: already exists; give a new folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for name in ("images", "labels"):
                (aside / name).mkdir()
            for frame, picture in paired(run, opened):
                stem = Path(run.name(frame)).stem
                data = cv2.imencode(".png", cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR))[1]
                (aside / "images" / f"{stem}.png").write_bytes(data.tobytes())
                rows = [yolo_row(run, found, picture.size) for found in run.boxes(frame)]
                (aside / "labels" / f"{stem}.txt").write_text("".join(f"{row}\n" for row in rows))
            about = {"train": "images", "val": "images", "names": dict(enumerate(run.classes))}
            (aside / "data.yaml").write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True))
            aside.chmod(0o755)
            aside.replace(out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def yolo_row(run: Run, found: dict[str, Any], size: tuple[int, int]) -> str:
    """`class x y width height` of a detection, centre and size as parts of the image's width and height."""
    left, right = (min(max(x / size[0], 0.0), 1.0) for x in found["box"][::2])
    top, bottom = (min(max(y / size[1], 0.0), 1.0) for y in found["box"][1::2])
    middle = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return " ".join([str(run.classes.index(found["class"])), *(f"{value:.6f}" for value in middle)])


def write_mot(run: Run, out: Path) -> None:
    """Tracks as MOTChallenge evaluates them; frames, and the pixel at the left top, count from 1.

    Raises:
        InputError: detections without tracks; what cannot be written.
    """
    rows = []
    for frame in run.frames:
        for found in run.boxes(frame, tracked=True):
            left, top, right, bottom = found["box"]
            place = f"{left + 1:.1f},{top + 1:.1f},{right - left:.1f},{bottom - top:.1f}"
            rows.append(f"{frame['frame'] + 1},{found['track']},{place},{found['score']:.4f},-1,-1,-1\n")
    if not rows and any(frame["detections"] for frame in run.frames):
        raise InputError(f"{run.path}: its detections have no tracks: run with --track")
    write_atomic(out, "".join(rows).encode(), InputError)
