"""Where the workers of a cluster go, and which cores they take. The cluster itself: tests/e2e/test_batch_ray.py."""

import os
import subprocess
import sys

import pytest

from fusecam.pipeline.batch.clips import Clip, Figures, Row
from fusecam.pipeline.batch.cluster import checked, worker_resources
from fusecam.pipeline.batch.worker import claim_cores
from fusecam.pipeline.options import THIS_CLUSTER, BareRay


def node(name, cpus, gpus=0, alive=True):
    resources = {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})
    return {"NodeID": name, "NodeManagerHostname": name, "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "cores", "share", "at_once"),
    [
        ([node("a", 8)], 2, (2, 0), {"a": 4}),
        ([node("a", 5), node("b", 2)], 2, (2, 0), {"a": 2, "b": 1}),
        ([node("a", 8), node("b", 8, alive=False)], 4, (4, 0), {"a": 2}),
        ([node("a", 1)], 2, (2, 0), {}),
        ([node("a", 0)], 1, (1, 0), {}),
        ([node("a", 16, 2), node("b", 64)], 4, (4, 1), {"a": 2}),
        ([node("a", 4, 4)], 4, (1, 1), {"a": 4}),
        ([], 1, (1, 0), {}),
    ],
)
def test_places_depend_on_nodes_and_cores(nodes, cores, share, at_once):
    assert worker_resources(nodes, cores) == ({"num_cpus": share[0], "num_gpus": share[1]}, at_once)


@pytest.mark.parametrize("status", ["done", "doubtful", "kept"])
def test_clip_finished_on_storage_of_its_own_has_failed(tmp_path, status):
    clip = Clip("a", tmp_path / "ir.mp4", tmp_path / "vis.mp4", tmp_path)
    row = Row("a", status, Figures("average", 5, 25.0, 1.0, 0.0, 0, 0))
    failed = checked(row, clip, "far")
    assert failed.status == "failed" and f"{status} on far, but {clip.report_path} is not here" in failed.remark
    clip.report_path.write_text("{}")
    assert checked(row, clip, "far") is row


CLAIM = """
import os, sys, pathlib
from fusecam.pipeline.batch.worker import claim_cores
claims = claim_cores(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
print(*sorted(claims), "|", *sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not assign cores")
def test_worker_owns_its_cores_until_it_exits(tmp_path):
    free = sorted(os.sched_getaffinity(0))

    def worker(number):
        arguments = [sys.executable, "-c", CLAIM, str(number), str(tmp_path / "cores")]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        claimed, kept_to = process.stdout.readline().split("|")
        return process, [int(core) for core in claimed.split()], [int(core) for core in kept_to.split()]

    started = [worker(1) for _ in range(len(free) + 1)]
    try:
        claims = [claimed for _, claimed, _ in started]
        assert sorted(core for claimed in claims for core in claimed) == free
        assert [kept_to for _, _, kept_to in started[:-1]] == claims[:-1]
        assert started[-1][1:] == ([], free)  # none was left: not restricted
        started[0][0].kill()
        started[0][0].wait()
        started.append(worker(1))
        assert started[-1][1] == claims[0]
    finally:
        for process, *_ in started:
            process.kill()
            process.communicate()


def test_more_cores_than_available_sets_no_affinity(tmp_path):
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    assert claim_cores(10_000, tmp_path / "cores") == {}
    assert before is None or os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("args", "address", "clips"),
    [
        (["a", "b", "--ray"], THIS_CLUSTER, "b"),
        (["--ray", "a", "b"], THIS_CLUSTER, "b"),
        (["a", "--ray", "--force", "b"], THIS_CLUSTER, "b"),
        (["a", "b", "--ray", "head:6379"], "head:6379", "b"),
        (["--ray", "ray://10.0.0.1:10001", "a", "b"], "ray://10.0.0.1:10001", "b"),
        (["--ray", "[::1]:6379", "a", "b"], "[::1]:6379", "b"),
        (["a", "b", "--ray=head:1"], "head:1", "b"),
        (["a", "b"], None, "b"),
    ],
)
def test_cluster_address_is_optional(args, address, clips):
    import typer

    found = {}

    def command(
        ir: str, vis: str, ray: str | None = typer.Option(None), force: bool = typer.Option(False, "--force")
    ) -> None:
        found.update(ray=ray, vis=vis)

    app = typer.Typer()
    app.command(cls=BareRay)(command)
    app(args, standalone_mode=False)
    assert found == {"ray": address, "vis": clips}
