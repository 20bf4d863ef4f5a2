"""What `fusecam bench` is made of: counts, percentiles, the child's environment, what it refuses. Never how fast."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch

from fusecam.calib.rig import load_rig
from fusecam.engines import EngineError, available, create_engine, registry
from fusecam.engines.backends.openvino import int8
from fusecam.engines.networks.smoothing import CONTROLS
from fusecam.engines.registry import NETWORKS
from fusecam.pipeline.bench import jobs
from fusecam.pipeline.bench.chain import measure_chain
from fusecam.pipeline.bench.cost import count_cost
from fusecam.pipeline.bench.jobs import KEEPING, KEPT, PLAIN, ChainJob, CostJob, DetectJob, FuseJob
from fusecam.pipeline.bench.measure import measure_engine, read_frames
from fusecam.pipeline.bench.plan import make_plan
from fusecam.pipeline.bench.prepare import prepare
from fusecam.pipeline.bench.process import JobError, run_job
from fusecam.pipeline.errors import InputError

from .clips import picture, write_video
from .test_detect import SMALL, build

pytestmark = pytest.mark.slow

SIZE = (120, 100)  # of another aspect ratio than the sample clips
FRAMES = 3 * 175
CHURN = (
    "import resource\n"
    "for _ in range(20): bytes(b'x') * 50_000_000\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
)


class Counted:
    """An engine that keeps account of what it is given."""

    name = "counted"

    def __init__(self) -> None:
        self.engine = create_engine("average:torch")
        self.given: list[int] = []

    def fuse(self, visible, infrared, warp, elapsed_s=None):
        self.given.append(id(visible))
        assert elapsed_s is None if len(self.given) == 1 else elapsed_s > 0  # the first is a start's
        return self.engine.fuse(visible, infrared, warp, elapsed_s)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    assert prepare(folder, SIZE) == FRAMES
    return folder


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Several threads of torch wait for each other for long where the tests are not alone on the machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def fuse_job(inputs: Path, **changed: object) -> FuseJob:
    given = {"spec": "average:openvino:f32", "frames": str(inputs), "variant": PLAIN, "warmups": 2, "repeats": 4}
    return FuseJob(**(given | changed))


def test_measured_engine_gets_changing_frames_and_times(inputs, monkeypatch):
    engine = Counted()
    monkeypatch.setattr("fusecam.pipeline.bench.measure.build", lambda spec, variant: engine)
    row = measure_engine(fuse_job(inputs, warmups=10, repeats=20), lambda done, total: None)
    assert len(row["samples_ns"]) == 20
    assert len(engine.given) == 1 + 30
    assert len(set(engine.given)) == 12
    assert all(a != b for a, b in zip(engine.given[1:], engine.given[2:], strict=False))


def test_bench_frames_are_real_and_streams_complete(inputs):
    frames = read_frames(inputs)
    assert len(frames) == 12
    for visible, infrared, warp in frames:
        assert (visible.shape, infrared.shape, warp.shape) == ((100, 120, 3), (100, 120), (120, 100, (120, 100), 1))
        assert visible.dtype == infrared.dtype == np.uint8
        assert visible.std() > 5
        assert infrared.std() > 2
    assert len({visible.tobytes() for visible, _, _ in frames}) == 12
    assert 0.5 < (warp.coverage == 255).mean() < 1  # the infrared camera of the samples sees less to the sides
    assert load_rig(inputs / "rig.yaml").visible.size == load_rig(inputs / "rig.yaml").infrared.size == SIZE
    times = []
    for camera in ("vis", "ir"):
        with av.open(str(inputs / f"{camera}.mp4")) as clip:
            stream = clip.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *SIZE)
            times.append([frame.time for frame in clip.decode(stream)])
    assert times[0] == times[1]
    assert len(times[0]) == FRAMES


def test_registration_is_equal_at_all_sizes(inputs, tmp_path):
    """The rig is stretched with the images: infrared registered at a small size is the large one made small."""
    prepare(tmp_path, (480, 400))
    for (_, small, by_small), (_, large, by_large) in zip(
        read_frames(inputs, 3), read_frames(tmp_path, 3), strict=True
    ):
        shrunk = by_large.apply(large).reshape(100, 4, 120, 4).mean((1, 3))
        small, valid = by_small.apply(small), by_small.coverage
        assert np.corrcoef(shrunk[valid == 255], small[valid == 255])[0, 1] > 0.97


def test_chain_with_a_detector_is_measured(inputs, tmp_path):
    (tmp_path / "yolo11n.yaml").write_text(SMALL.format(head="Detect"))
    weights = build(tmp_path / "detector.pt", str(tmp_path / "yolo11n.yaml"))
    (tmp_path / "rig.yaml").write_bytes((inputs / "rig.yaml").read_bytes())
    for camera in ("vis", "ir"):
        write_video(tmp_path / f"{camera}.mp4", range(30), pictures=[picture(i, *SIZE) for i in range(30)])
    told = []
    job = ChainJob("average", str(tmp_path), str(inputs), str(weights), 2)
    row = measure_chain(job, lambda done, total: told.append((done, total)))
    assert (row["engine"], row["detector"], row["frames"], row["paired"]) == (
        "average:openvino:f32",
        "detector.pt",
        30,
        30,
    )
    assert {"decode vis", "decode ir", "register", "fuse", "detect", "overlay", "write", "age"} <= set(row["stages"])
    assert {stage["count"] for stage in row["stages"].values()} == {30}  # warm-ups are none of them
    assert told == [(25, 30)]


def test_job_round_trips_to_its_process():
    for job in (
        fuse_job(Path("/there"), variant=KEPT),
        ChainJob("physics", "/clips", "/frames", None, 10),
        CostJob("realtime", (640, 480)),
        DetectJob(None, "/frames", 10, 100),
    ):
        there = jobs.unpack(json.loads(json.dumps(jobs.pack(job))))
        assert jobs.pack(there) == jobs.pack(job) | ({"size": [640, 480]} if isinstance(job, CostJob) else {})
        assert type(there) is type(job)


def test_memory_settings_apply_to_their_variant_only(inputs, monkeypatch):
    for name in KEEPING:
        monkeypatch.setenv(name, "1")  # the person's own setting must not make plain eager look better
    monkeypatch.setenv("UNRELATED", "stays")
    plain, kept = (jobs.environment(fuse_job(inputs, variant=variant)) for variant in (PLAIN, KEPT))
    assert not KEEPING.keys() & plain.keys()
    assert kept == plain | KEEPING
    assert plain["UNRELATED"] == "stays"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="these settings are glibc's")
def test_malloc_settings_have_an_effect(inputs):
    faults = [
        int(subprocess.check_output([sys.executable, "-c", CHURN], env=jobs.environment(fuse_job(inputs, variant=v))))
        for v in (PLAIN, KEPT)
    ]
    assert faults[1] < faults[0] / 5


def test_child_process_gets_its_environment_and_reports_progress(inputs, tmp_path):
    told = []
    for variant, environment in ((PLAIN, {}), (KEPT, KEEPING)):
        job = fuse_job(inputs, spec="average:torch:f32", variant=variant)
        row = run_job(job, tmp_path, lambda done, total: told.append((done, total)))
        assert row["environment"] == environment
        assert row["engine"] == "average:torch:f32"
        assert len(row["samples_ns"]) == 4
        assert row["first_frame_s"] > 0
        assert row["peak_mib"] > 50
    assert told
    assert all(total == 4 for _, total in told)


def test_baseline_computes_the_same_network(inputs):
    from fusecam.pipeline.bench.measure import build

    frame = read_frames(inputs, 1)[0]
    plain, kept = (build("realtime:torch", variant).fuse(*frame).image.astype(int) for variant in (PLAIN, KEPT))
    assert np.abs(plain - kept).max() <= 1


def test_job_without_repeats_has_no_figures(inputs):
    row = measure_engine(fuse_job(inputs, repeats=0), lambda done, total: None)
    assert row["samples_ns"] == []
    assert "others" not in row


def test_conversions_are_stored_in_the_given_cache(inputs, tmp_path):
    run_job(fuse_job(inputs, repeats=0), tmp_path / "cache")
    assert any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (FuseJob("nothing", "/nowhere", PLAIN, 0, 0), "FileNotFoundError"),
        (CostJob("physics", (640, -480)), "code 1"),
    ],
)
def test_failed_job_is_a_one_line_error(job, said, tmp_path):
    with pytest.raises(JobError, match=said) as caught:
        run_job(job, tmp_path)
    assert "\n" not in str(caught.value)


def test_expected_error_of_a_job_is_passed_on_unchanged(inputs, tmp_path):
    with pytest.raises(EngineError) as here:
        create_engine("nothing")
    with pytest.raises(JobError) as there:
        run_job(fuse_job(inputs, spec="nothing"), tmp_path)
    assert str(there.value) == str(here.value)


def test_interrupted_job_leaves_no_process(inputs, tmp_path):
    before = set(psutil.Process().children())

    def interrupt(done: int, total: int) -> None:
        assert set(psutil.Process().children()) - before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(fuse_job(inputs, repeats=10**6), tmp_path, interrupt)
    assert set(psutil.Process().children()) == before


def test_cost_counts_layers_and_other_operations():
    network = registry.network("realtime")
    operations = 0

    def count(layer, taken, made):
        nonlocal operations
        operations += 2 * made.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    frame = torch.zeros(1, 240, 320, dtype=torch.uint8)
    network(frame[..., None].expand(1, 240, 320, 3), frame, frame, torch.zeros(CONTROLS))
    cost = count_cost(CostJob("realtime", (320, 240)))
    assert cost["parameters"] == sum(parameter.numel() for parameter in network.parameters()) > 100_000
    assert operations / 1e9 <= cost["gflops"] + 1e-3  # the physics' own filters, which have no layer, come on top
    assert cost["gflops"] <= 2 * operations / 1e9
    nothing = {"network": "average", "size": [64, 48], "parameters": 0, "gflops": 0}
    assert count_cost(CostJob("average", (64, 48))) == nothing


INT8 = () if int8.missing() else ("int8",)
"""Where NNCF is installed."""


@pytest.mark.parametrize(
    ("given", "engines", "chains"),
    [
        (["lure:openvino:bf16"], [("lure:openvino:bf16", PLAIN)], ["lure:openvino:bf16"]),
        (
            ["tiny:openvino", "tiny:openvino:f32"],
            [(f"tiny:openvino:{precision}", PLAIN) for precision in ("f32", *INT8)],
            ["tiny:openvino:f32"],
        ),
        (["realtime:torch"], [("realtime:torch:f32", PLAIN), ("realtime:torch:f32", KEPT)], ["realtime:torch:f32"]),
    ],
)
def test_plan_lists_the_requested_measurements(given, engines, chains):
    plan = make_plan(given, ["64x48", "64X48", "96x80"], 100)
    assert [*plan.engines] == engines
    assert [*plan.chains] == chains
    assert plan.sizes == ((64, 48), (96, 80))
    assert plan.networks == [given[0].split(":")[0]]
    assert (plan.warmups, plan.repeats) == (10, 100)


def test_default_plan_measures_everything():
    plan = make_plan([], ["640x480"], 100, chain=False)
    assert plan.networks == list(NETWORKS)
    known = [spec for spec, _ in available() if spec.split(":")[0] in NETWORKS]
    assert len(plan.engines) == len(known) + len(NETWORKS)  # eager torch twice
    assert plan.chains == ()
    assert len(make_plan([], ["640x480"], 100).chains) == 1


@pytest.mark.parametrize(
    ("engines", "sizes", "weights", "said"),
    [
        (["nothing"], ["640x480"], None, "nothing"),
        (["physics:abacus"], ["640x480"], None, "abacus"),
        (["physics:torch:f8"], ["640x480"], None, "f8"),
        ([], ["640"], None, "--size 640"),
        ([], ["-1x480"], None, "--size -1x480"),
        ([], ["640x16"], None, "32 to 8192"),
        ([], ["99999x480"], None, "32 to 8192"),
        ([], ["640x480"], Path("/nowhere/yolo.pt"), "/nowhere/yolo.pt"),
    ],
)
def test_invalid_plans_are_refused(engines, sizes, weights, said):
    with pytest.raises((InputError, EngineError), match=said) as caught:
        make_plan(engines, sizes, 100, weights)
    assert "\n" not in str(caught.value)
