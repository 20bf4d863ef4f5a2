"""Creates the detector's training frames on disk: fused, visible and infrared, clear and degraded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track

from ...engines import FusionEngine, create_engine
from ...engines.base import Pixels
from ..data import find_pairs
from ..degrade import Mixture, degrade, haze, sensor_noise, stripe, weaken
from ..errors import TrainError
from ..images import read_image
from ..metrics import rgb
from .boxes import Boxes, read_boxes, write_boxes
from .recipe import DetectorRecipe, Kind, Pairs
from .streets import views
from .teacher import CocoTeacher, OwnTeacher, Teacher

Frames = Iterator[tuple[Kind, str, Pixels, Boxes]]
"""Kind, suffix of the file name, (H, W, 3) uint8 RGB, boxes."""
COMPLETE, MADE_OF = "complete", "made_of.json"


def make_images(recipe: DetectorRecipe, folder: Path, bar: bool = True) -> None:
    """Write images/SOURCE/KIND/NAME.jpg and labels/SOURCE/KIND/NAME.txt, SOURCE: index in `data`, or `streets`.

    A complete folder is reused. Raises TrainError for unusable data and for a folder of frames that were created with
    other settings.
    """
    made_of, manifest = _settings(recipe), folder / MADE_OF
    if folder.is_dir() and any(folder.iterdir()) and (not manifest.is_file() or manifest.read_text("utf-8") != made_of):
        raise TrainError(f"{folder}: frames of other settings; remove it to create them again, or choose another --out")
    if (folder / COMPLETE).is_file():
        return
    pairs_of = [find_pairs(source.root) for source in recipe.data]  # raises before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write_text(made_of, encoding="utf-8")
    engine = create_engine(recipe.engine, unlifted=True)
    for number, (source, pairs) in enumerate(zip(recipe.data, pairs_of, strict=True)):
        teacher = _teacher(recipe, number) if source.labels is None else None
        for index, pair in enumerate(track(pairs, source.root.name, disable=not bar)):
            random = torch.Generator().manual_seed(hash((recipe.seed, number, index)) % 2**63)
            for kind, which, image, boxes in _of_pair(pair, source, recipe, engine, teacher, random):
                if kind in source.kinds:
                    _write(folder, str(number), pair[0].stem, kind, which, image, boxes)
    count = recipe.streets.scenes * recipe.streets.frames
    rendered = views(recipe.streets.scenes, recipe.streets.frames, recipe.seed)
    for index, view in enumerate(track(rendered, "streets", total=count, disable=not (bar and count))):
        fused = engine.fuse(view.visible, view.infrared, view.coverage).to_detect
        alone = engine.fuse(view.visible, view.infrared, np.zeros_like(view.coverage)).to_detect
        name = f"{index:05d}"
        _write(folder, "streets", name, "fused", "", fused, view.boxes)
        _write(folder, "streets", name, "visible", "", view.visible, view.through_air)
        _write(folder, "streets", name, "visible", "restored", alone, view.through_air)
        _write(folder, "streets", name, "infrared", "", rgb(view.infrared), view.boxes)
    (folder / COMPLETE).touch()


def _settings(recipe: DetectorRecipe) -> str:
    """The settings that determine the frames, as JSON; without shares and schedule."""
    pairs = {"root", "infrared", "labels", "size", "sharpen", "kinds"}
    used: dict[str, Any] = dict.fromkeys(("names", "engine", "mixture", "misregistered", "seed"), True)
    used |= {"detector": {"architecture", "start", "teacher"}, "streets": {"scenes", "frames"}}
    return json.dumps(recipe.model_dump(mode="json", include=used | {"data": {"__all__": pairs}}), indent=1)


def _of_pair(
    pair: tuple[Path, Path],
    source: Pairs,
    recipe: DetectorRecipe,
    engine: FusionEngine,
    teacher: Teacher | None,
    random: torch.Generator,
) -> Frames:
    visible, infrared = _read(pair, source)
    everywhere = np.full_like(infrared, 255)
    boxes: Mapping[str, Boxes]
    if source.labels is not None:
        boxes = {kind: read_boxes(place / f"{pair[0].stem}.txt", recipe.names) for kind, place in source.labels}
    else:
        assert teacher is not None
        boxes = teacher.label(visible, infrared, engine.fuse(visible, infrared, everywhere).to_detect)
    if source.sharpen and float(torch.rand((), generator=random)) < 0.5:
        visible = _with_edges(visible, infrared, float(torch.rand((), generator=random)) * 1.5 - 0.6)
    if source.sharpen:  # upscaling removed the sensor noise, which low-light enhancement would amplify
        grain = recipe.mixture.noise * torch.rand(1, 1, 1, 1, generator=random)
        visible = _pixels(sensor_noise(_planes(visible), grain, random))

    hazy, weak = _degraded(visible, infrared, recipe.mixture, random)
    off = recipe.misregistered and float(torch.rand((), generator=random)) < recipe.misregistered
    paired = _misregistered(weak, random) if off else weak

    clear, degraded = engine.fuse(visible, infrared, everywhere), engine.fuse(hazy, paired, everywhere)
    yield "fused", "", clear.to_detect, boxes["fused"]
    yield "fused", "degraded", degraded.to_detect, boxes["fused"]
    # other engines give the detector the displayed frame
    shown = clear if float(torch.rand((), generator=random)) < 0.5 else degraded
    yield "fused", "shown", shown.image, boxes["fused"]
    yield "visible", "", visible, boxes["visible"]
    yield "visible", "degraded", hazy, boxes["visible"]
    yield "visible", "restored", engine.fuse(hazy, weak, np.zeros_like(everywhere)).to_detect, boxes["visible"]
    yield "infrared", "", rgb(weak), boxes["infrared"]


def _read(pair: tuple[Path, Path], source: Pairs) -> tuple[Pixels, Pixels]:
    """Read a pair, resized as the recipe says: (H, W, 3) uint8 RGB and (H, W) uint8."""
    colour = read_image(pair[0], "RGB")
    path = pair[1] if source.infrared is None else source.infrared / f"{pair[0].stem}.jpg"
    height, width = source.size or (round(colour.shape[0] * 640 / colour.shape[1]), 640)
    images = (colour, read_image(path, "L"))
    visible, infrared = (cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in images)
    return np.asarray(visible, np.uint8), np.asarray(infrared, np.uint8)


def _degraded(visible: Pixels, infrared: Pixels, mixture: Mixture, random: torch.Generator) -> tuple[Pixels, Pixels]:
    """Degrade a pair by haze, night, noise and weak infrared; the smooth fields are computed at 160 pixels width."""
    height, width = infrared.shape
    small = F.interpolate(_planes(visible), scale_factor=160 / width, mode="area")
    degraded = degrade(small, small[:, :1], mixture, random)
    dimmed = (degraded.clear + 0.02) / (small + 0.02)
    gain, t, air = (
        F.interpolate(field, (height, width), mode="bilinear", align_corners=False)
        for field in (dimmed, degraded.t, degraded.air)
    )
    hazy = haze(_planes(visible) * gain, t, air)
    hazy = sensor_noise(hazy, mixture.noise * torch.rand(1, 1, 1, 1, generator=random), random)
    weak = _planes(infrared[..., None])
    for probability, change in ((mixture.weak_infrared, weaken), (mixture.stripes, stripe)):
        if float(torch.rand((), generator=random)) < probability:
            weak = change(weak, random)
    return _pixels(hazy), _pixels(weak)[..., 0]


def _misregistered(infrared: Pixels, random: torch.Generator) -> Pixels:
    """Simulate a registration error, from a decalibrated rig or parallax: a random shift and a rotation about 0.5°.

    The boxes keep their positions in the visible frame.
    """
    height, width = infrared.shape
    across, down, angle = torch.randn(3, generator=random).tolist()
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0.5 * angle, 1)
    turn[:, 2] += (0.008 * width * across, 0.005 * width * down)
    return np.asarray(cv2.warpAffine(infrared, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _with_edges(visible: Pixels, infrared: Pixels, strength: float) -> Pixels:
    """Add scaled infrared detail to an upscaled visible frame, which lacks sharp edges of its own."""
    heat = infrared.astype(np.float32)
    detail = heat - cv2.GaussianBlur(heat, (0, 0), 3)
    room = cv2.GaussianBlur(visible.astype(np.float32).mean(2), (0, 0), 6) / 128  # less detail in dark regions
    edges = strength * detail * np.clip(room, 0.15, 1)
    return np.asarray(np.clip(visible + edges[..., None], 0, 255), np.uint8)


def _teacher(recipe: DetectorRecipe, number: int) -> Teacher:
    if recipe.detector.teacher is not None:
        return OwnTeacher(recipe.detector.teacher)
    if recipe.detector.start is None:
        raise TrainError(f"data.{number}.labels: give labels, or detector.start with a COCO head that creates them")
    return CocoTeacher(recipe.detector.architecture, recipe.detector.start)


def _write(folder: Path, source: str, name: str, kind: Kind, which: str, image: Pixels, boxes: Boxes) -> None:
    stem = f"{name}_{which}" if which else name
    images, labels = (folder / top / source / kind for top in ("images", "labels"))
    for place in (images, labels):
        place.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(images / f"{stem}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 94]):
        raise TrainError(f"{images}: cannot be written; choose another --out")
    write_boxes(labels / f"{stem}.txt", boxes)


def _planes(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def _pixels(planes: torch.Tensor) -> Pixels:
    return np.ascontiguousarray((planes[0].clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy())
