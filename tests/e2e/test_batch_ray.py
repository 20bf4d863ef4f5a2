"""`fusecam batch --ray` on a local cluster of two nodes: the same bits as without it, through a worker's death."""

import json
import os
import signal
import time

import pytest

from .command import QUICK, fusecam, leftovers, pair_of_clips, presentation_times, processes, start

pytestmark = pytest.mark.slow

pytest.importorskip("ray", reason="Ray is not installed: pip install 'fusecam[ray]'")
COMMON = ("--ray-cores", "1", *QUICK)
CLIPS = ("a", "b", "c", "long")


@pytest.fixture(scope="module")
def cluster():
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}  # a busy machine is slow
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    drives = tmp_path_factory.mktemp("drives")
    for name in CLIPS:
        pair_of_clips(drives, name=name, frames=900 if name == "long" else 20)
    return drives


@pytest.fixture
def run(monkeypatch, capfd):
    def run(*arguments):
        return fusecam("batch", *arguments, *QUICK, monkeypatch=monkeypatch, capfd=capfd)

    return run


def test_killed_worker_does_not_change_the_results(tmp_path, drives, cluster, run):
    here, there = tmp_path / "here", tmp_path / "there"
    answer = run(drives, drives, "--out", here)
    assert answer.code == 0, answer.said

    process = start("batch", drives, drives, "--out", there, "--ray", cluster.address, *COMMON)
    partial, deadline = there / "long.mp4.fusecam.partial", time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size > 20_000):
        assert time.monotonic() < deadline and process.poll() is None, "the long clip did not get going"
        time.sleep(0.01)
    busy = [
        worker for worker in processes("run_remote") if any(file.path == str(partial) for file in worker.open_files())
    ]
    assert len(busy) == 1
    os.kill(busy[0].pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "died: long is run again" in " ".join(said.split())
    assert "4 done" in said
    assert leftovers(there) == []
    for name in CLIPS:
        for suffix in (".mp4", ".jsonl"):
            assert (here / (name + suffix)).read_bytes() == (there / (name + suffix)).read_bytes(), name + suffix
    assert len(presentation_times(there / "long.mp4")) == 900

    kept = run(drives, drives, "--out", there)  # and a run without the cluster takes them for what they are
    assert kept.code == 0
    assert "4 kept" in kept.said


def test_bad_clip_fails_on_both_nodes_and_the_others_succeed(tmp_path, cluster):
    drives, out = tmp_path / "drives", tmp_path / "out"
    pair_of_clips(drives, name="good", frames=5)
    pair_of_clips(drives, name="fine", frames=5)
    _, bad = pair_of_clips(drives, name="bad", frames=5)
    bad.write_bytes(bad.read_bytes()[:200])
    process = start("batch", drives, drives, "--out", out, "--ray", cluster.address, *COMMON)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "2 done, 1 failed" in said
    assert said.count("is tried elsewhere") == 1
    assert "Traceback" not in said
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".json", ".jsonl", ".jsonl", ".mp4", ".mp4"]


def test_interrupted_batch_leaves_complete_clips_only(tmp_path, drives, cluster):
    out = tmp_path / "out"
    process = start("batch", drives, drives, "--out", out, "--ray", cluster.address, *COMMON)
    deadline = time.monotonic() + 120
    while not (out / "long.mp4.fusecam.partial").exists():
        assert time.monotonic() < deadline and process.poll() is None, "the long clip did not get going"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert not (out / "long.mp4").exists()
    assert leftovers(out) == []
    for report in out.glob("*.report.json"):
        assert json.loads(report.read_text())["ended"] == "end of stream"


def test_engine_missing_on_every_node_is_reported_once(tmp_path, drives, cluster):
    words = ("batch", drives, drives, "--out", tmp_path / "out", "--ray", cluster.address, *COMMON)
    process = start(*words, "--engine", "average:no_such_backend")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert said.count("error: --ray: no worker could be started") == 1, said
    assert "Traceback" not in said


def test_missing_cluster_is_a_one_line_error(tmp_path, drives, run):
    answer = run(drives, drives, "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert answer.code == 1
    assert "--ray 127.0.0.1:1" in answer.said
    assert len(answer.said.strip().splitlines()) == 1
