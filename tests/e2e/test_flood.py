"""Strangers who only hold connections open, against a run with its page, its metrics and its recording."""

import json
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from ..pipeline.rtsp_server import RtspServer
from .command import COMMAND, QUICK, street

pytestmark = pytest.mark.slow

FEW = 256
"""Descriptors that the run may have; so many connections are held at each door."""
TOKEN = "Zq81hunter2"


class Run:
    """`fusecam` on two network cameras, recording, open to others; its log as it comes."""

    def __init__(self, folder, cameras):
        settings = folder / "run.yaml"
        settings.write_text(f"record: {{folder: {folder / 'drive'}, segment_s: 1.5}}\n")
        arguments = [
            "--config",
            settings,
            "--ir",
            cameras[0].url,
            "--vis",
            cameras[1].url,
            "--log-json",
            *QUICK,
        ]
        arguments += ["--serve", "0.0.0.0:0", "--metrics", "0.0.0.0:0", "--token", TOKEN, "--report", folder / "r.json"]
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW)),
        )
        self.lines, self.ports, self._heard = [], {}, threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._heard.wait(90):
            self.process.kill()
            pytest.fail("\n".join(self.lines))

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            event = json.loads(line)
            if event["event"] == "listening":
                self.ports[event["what"]] = int(event["url"].split(":")[2].split("/")[0])
            if event.get("state") == "live" and len(self.ports) == 2:
                self._heard.set()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join()
        return code


@pytest.fixture
def run(tmp_path):
    cameras = [RtspServer([street(k) for k in range(20)], fps=10) for _ in range(2)]
    started = Run(tmp_path, cameras)
    try:
        yield started
    finally:
        started.process.kill()
        for camera in cameras:
            camera.stop()


def test_idle_connections_cost_no_recorded_frame(run, tmp_path):
    held = []
    for _ in range(FEW):
        for port in run.ports.values():
            held.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            held[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
    time.sleep(4)
    assert run.end() == 130
    for talk in held:
        talk.close()
    report = json.loads((tmp_path / "r.json").read_text())
    counts = report["health"]["run"]
    assert (counts["recorder_losses"], counts["recorder_frames_lost"]) == (0, 0), report["warnings"]
    segments = sorted((tmp_path / "drive").glob("*_frames.jsonl"))
    assert len(segments) >= 3
    assert sum(len(path.read_text().splitlines()) for path in segments) == counts["out"]
    told = [json.loads(line) for line in run.lines]
    assert 1 <= sum(line["event"] == "server" for line in told) <= 6
    assert len(told) < 60
    assert TOKEN not in "".join(run.lines)
