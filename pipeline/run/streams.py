"""Builds a run from its configuration: opens sources, aligns streams in time, builds the engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ...calib.rig import Rig, load_rig
from ...engines import create_engine
from ...engines.base import FusionEngine
from ...engines.prompts.conditioning import AdjustablePrompt
from ...engines.registry import create_prompt
from ...engines.warp import Size
from ..config import DetectorConfig, EngineConfig, RunConfig, SourceConfig
from ..core.doubts import Doubts
from ..core.frames import Camera
from ..core.health import Health
from ..detection.detect import Detector, create_detector
from ..detection.track import WEAKEST
from ..errors import InputError
from ..pairing import Pairing, pair_images, read_pairs, stamps_beside
from ..registration.drift import DriftMonitor
from ..registration.register import Registrar
from ..sources import Source, open_source
from ..sources.bag import bag_place
from ..sources.images import ImageSource
from ..sources.live import LiveSource
from ..sources.opening import holds_images, open_shared
from ..sources.watchdog import WatchedSource
from ..timing.sync import Synchronizer
from .alignment import Alignment, measure_alignment


@dataclass(slots=True)
class Tools:
    """Engine and detector, reusable by several runs. prompt: of the engine, changeable during a run."""

    engine: FusionEngine
    detector: Detector | None
    prompt: AdjustablePrompt | None = None


def build_tools(engine: EngineConfig, detector: DetectorConfig) -> Tools:
    """Build the fusion engine and, where it is wanted, the detector. Raises EngineError and InputError."""
    found = create_detector(detector, WEAKEST if detector.track else None)
    prompt = create_prompt(engine.name, engine.dehaze, engine.lift, engine.prompt, engine.hue)
    return Tools(create_engine(engine.name, prompt=prompt, unlifted=found is not None), found, prompt)


@dataclass(slots=True)
class Streams:
    """Both sources open, on one clock and on one pixel grid; live ones are reopened when they are lost.

    notes: the stated fallbacks taken on the way. doubts: what may be wrong with the result, of both sources too.
    health: counters of the live sources. drift: watches the rig, None without one.
    """

    infrared: Source
    visible: Source
    registrar: Registrar
    synchronizer: Synchronizer
    alignment: Alignment
    notes: list[str] = field(default_factory=list)
    doubts: Doubts = field(default_factory=Doubts)
    health: Health = field(default_factory=Health)
    drift: DriftMonitor | None = None

    def close(self) -> None:
        """Close both sources."""
        self.infrared.close()
        self.visible.close()


def open_streams(config: RunConfig) -> Streams:
    """Open both sources, load the rig, settle the time offset. Raises InputError and RigError."""
    check_sources(config.sources)
    if config.rig is None and config.distance is not None:
        raise InputError("--distance needs --rig: without a rig file there is nothing to move")
    infrared, visible = _open_both(config.sources)
    try:
        _check_clocks(infrared, visible)
        notes: list[str] = []
        doubts = Doubts()
        rig = _load_rig(config, (frame_size(visible), frame_size(infrared)), notes, doubts)
        paired = None
        if isinstance(infrared, ImageSource) and isinstance(visible, ImageSource):
            infrared, visible, paired = _pair_images(config, _given_offset(config, rig) or 0.0, infrared, visible)
            for doubt in paired.doubts:
                doubts.add(doubt)
            notes += paired.notes
            if paired.unused_infrared or any(partner is None for _, partner in paired.pairs):
                notes.append(paired.summary)
        elif config.sources.pairs is not None:
            raise InputError(f"--pairs {config.sources.pairs}: is for two folders of images; leave it out here")
        aspect = float(infrared.info.pixel_aspect / visible.info.pixel_aspect)
        registrar = Registrar(rig, pixel_aspect=aspect)
        if not registrar.warp(frame_size(visible), frame_size(infrared)).coverage.any():
            doubts.add(
                f"{config.rig}: by it the infrared camera sees nothing of the visible image, so that infrared is not "
                "used; give the rig file of these cameras (translation is in metres)"
            )
        if paired is None:
            alignment = _align(config, rig, infrared, visible, registrar, notes, doubts)
            tolerance_ms = config.sync.tolerance_ms
        elif paired.timing is None:  # partners share their time exactly: whatever is nearest otherwise is another image
            alignment, tolerance_ms = Alignment(0.0, 0.0, paired.summary), 1.0
        else:
            alignment = Alignment(_given_offset(config, rig) or 0.0, 0.0, paired.summary)
            tolerance_ms = config.sync.tolerance_ms or paired.timing.tolerance_ns / 1e6
        synchronizer = Synchronizer(
            offset_ns=round(alignment.offset_ms * 1e6),
            drift_ppm=alignment.drift_ppm,
            tolerance_ns=None if tolerance_ms is None else round(tolerance_ms * 1e6),
            live=visible.info.live,
            doubts=doubts,
            unused=_never_opened(infrared),
        )
    except BaseException:
        infrared.close()
        visible.close()
        raise
    health = Health()
    for source in (infrared, visible):
        for counter in ("frames", "unused"):
            health.count(source.info.camera, counter, _never_opened(source))
    infrared, visible = (_watched(source, config.sources, health) for source in (infrared, visible))
    for source in (infrared, visible):
        source.health.doubts.follow(doubts.add)
    drift = DriftMonitor(registrar) if rig is not None and config.monitor.drift else None
    return Streams(infrared, visible, registrar, synchronizer, alignment, notes, doubts, health, drift)


def check_sources(config: SourceConfig) -> None:
    """Check that two different sources are given. Raises InputError."""
    missing = [option for option, spec in (("--ir", config.ir.source), ("--vis", config.vis.source)) if not spec]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: give both cameras, e.g. --ir dev0 --vis dev1")
    place = bag_place(config.ir.source or "")
    if config.shared and not holds_images(config.ir.source or "") and (place is None or place.topic):
        raise InputError(
            f"{config.ir.source}: given as --ir and as --vis; two different sources are needed, or one recording that "
            "shows both, with sources.ir.crop and sources.vis.crop"
        )


def _load_rig(config: RunConfig, sizes: tuple[Size, Size], notes: list[str], doubts: Doubts) -> Rig | None:
    if config.rig is None:
        return None
    rig = load_rig(config.rig, sizes, config.distance)
    notes += rig.notes
    for doubt in rig.doubts:
        doubts.add(doubt)
    return rig


def frame_size(source: Source) -> Size:
    """(width, height) of the source's first frame."""
    return source.info.width, source.info.height


def _open_both(config: SourceConfig) -> tuple[Source, Source]:
    """Open infrared and visible in parallel: two pipes fed by one writer would otherwise wait for each other."""
    if config.shared and bag_place(config.ir.source or "") is None:
        return open_shared(config.ir.source or "", config)
    cameras: tuple[Camera, Camera] = ("infrared", "visible")
    with ThreadPoolExecutor(2) as pool:
        opening = [pool.submit(open_source, config.side(camera).source or "", camera, config) for camera in cameras]
    failures = [job.exception() for job in opening]
    failure = next((error for error in failures if error is not None), None)
    if failure is not None:
        for job, error in zip(opening, failures, strict=True):
            if error is None:
                job.result().close()
        raise failure
    infrared, visible = (job.result() for job in opening)
    return infrared, visible


def _watched(source: Source, config: SourceConfig, health: Health) -> Source:
    if not (isinstance(source, LiveSource) and source.info.live):
        return source
    camera = source.info.camera
    spec = config.side(camera).source or ""

    def reopen() -> LiveSource:
        again = open_source(spec, camera, config)
        if not isinstance(again, LiveSource):
            raise InputError(f"{source.info.spec}: is no longer a live source")
        return again

    return WatchedSource(source, reopen, config.stall_s, health)


def _check_clocks(infrared: Source, visible: Source) -> None:
    if infrared.info.live != visible.info.live:
        live, recorded = (infrared, visible) if infrared.info.live else (visible, infrared)
        raise InputError(
            f"{recorded.info.spec}: a recording cannot be paired in time with the live source {live.info.spec}; "
            "give two live sources or two recordings"
        )
    if (infrared.info.kind == "messages") != (visible.info.kind == "messages"):
        stamped, other = (infrared, visible) if infrared.info.kind == "messages" else (visible, infrared)
        raise InputError(
            f"{other.info.spec}: its times do not count from the same zero as the stamps in {stamped.info.spec}; give "
            "two topics of ROS recordings, or two other recordings"
        )


def _pair_images(
    config: RunConfig, offset_ms: float, infrared: ImageSource, visible: ImageSource
) -> tuple[ImageSource, ImageSource, Pairing]:
    """Two folders pair by name, or by the capture times of their images. Both come back with times at which partners
    meet: those of the visible images' places where paired by name, else their own from the first one on."""
    table = config.sources.pairs
    shared = infrared.info.spec == visible.info.spec
    if not shared and config.sources.ir.channel is None and config.sources.ir.crop is None:
        others = set(visible.files)
        both = next((file for file in infrared.files if file in others), None)
        if both is not None:
            raise InputError(f"{both}: is among the images of --ir and of --vis; give patterns that tell them apart")
    found = pair_images(
        visible.labels,
        infrared.labels,
        sources=(visible.info.spec, infrared.info.spec),
        table=None if table is None else read_pairs(table),
        stamps=(None, None) if shared else (stamps_beside(visible.files), stamps_beside(infrared.files)),
        offset_ns=round(offset_ms * 1e6),
    )
    if found.timing is None:
        places = visible.by_rate([v for v, i in found.pairs if i is not None])
        partners = [i for _, i in found.pairs if i is not None]
        if partners:
            infrared = infrared.placed([(i, time_ns) for i, (_, time_ns) in zip(partners, places, strict=True)])
        return infrared, visible, found
    sides = [
        sorted((time, index) for index, time in enumerate(times) if time is not None)
        for times in (found.timing.visible, found.timing.infrared)
    ]
    zero = min(sides[0][0][0], sides[1][0][0])
    seen, heat = ([(index, time - zero) for time, index in side] for side in sides)
    return infrared.placed(heat), visible.placed(seen), found


def _never_opened(source: Source) -> int:
    """Number of images of a folder without a partner."""
    return len(source.files) - (source.info.frames or 0) if isinstance(source, ImageSource) else 0


def _given_offset(config: RunConfig, rig: Rig | None) -> float | None:
    """In ms; None where it is to be measured. A rig file may hold one too, which belongs to how two recorders were once
    started, not to the cameras: it is taken only where that is asked for.
    """
    if config.sync.offset_ms == "auto":
        return None
    if config.sync.offset_ms != "rig":
        return config.sync.offset_ms
    if rig is None or rig.time_offset_ms is None:
        raise InputError(f"sync.offset_ms: rig: {config.rig or 'no rig file is given, it'} holds no time_offset_ms")
    return rig.time_offset_ms


def _align(
    config: RunConfig,
    rig: Rig | None,
    infrared: Source,
    visible: Source,
    registrar: Registrar,
    notes: list[str],
    doubts: Doubts,
) -> Alignment:
    """The offset that is given, measured between two recordings, or none."""
    given = _given_offset(config, rig)
    if given is not None:
        return Alignment(given, 0.0, f"from {config.rig}" if config.sync.offset_ms == "rig" else "given")
    if rig is not None and rig.time_offset_ms is not None:
        notes.append(
            f"{config.rig}: its time_offset_ms of {rig.time_offset_ms:+g} is not used: an offset belongs to two "
            "recordings, not to the cameras; `sync: {offset_ms: rig}` in the run file takes it"
        )
    if infrared.info.kind != "video" or visible.info.kind != "video":
        return Alignment(0.0, 0.0, "capture times as they are")
    return measure_alignment(config.sources, infrared.info, visible.info, registrar, doubts)
