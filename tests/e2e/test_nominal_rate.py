"""Live cameras whose timestamps count frames at a nominal rate: paired by when they were seen all the same."""

import http.server
import json
import threading
import time
from functools import partial

import cv2
import pytest

from ..pipeline.rtsp_server import RtspServer
from .command import QUICK, fusecam, json_lines, street

pytestmark = pytest.mark.slow


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


class MotionJpeg(http.server.BaseHTTPRequestHandler):
    """/RATE/NAME gives RATE pictures a second without times, as cheap cameras do; FFmpeg counts them as 25 a second."""

    def log_message(self, *_: object) -> None:
        """Tests need no access log."""

    def do_GET(self) -> None:
        rate, index, began = float(self.path.split("/")[1]), 0, time.monotonic()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        try:
            while True:
                data = cv2.imencode(".jpg", street(int(25 * time.monotonic())))[1].tobytes()
                self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                self.wfile.write(data + b"\r\n")
                index += 1
                time.sleep(max(0.0, began + index / rate - time.monotonic()))
        except OSError:
            return


@pytest.fixture
def web():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), MotionJpeg) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_paired(tmp_path, answer, frames: int) -> dict:
    assert answer.code == 0, answer.said
    lines = json_lines(tmp_path / "o.jsonl")
    assert len(lines) == frames
    assert sum(line["skew_ms"] is not None for line in lines) >= 0.85 * frames
    return json.loads((tmp_path / "r.json").read_text())


def test_motion_jpeg_without_timestamps_pairs_by_arrival(tmp_path, run, web):
    """4 of 207 frames paired when the infrared camera's frames were taken for 25 a second."""
    out = ("--out", tmp_path / "o.mp4", "--report", tmp_path / "r.json")
    answer = run("--ir", f"{web}/9/ir", "--vis", f"{web}/25/vis", *out, "--max-frames", 100, *QUICK)
    report = check_paired(tmp_path, answer, 100)
    assert any("/9/ir: its timestamps" in line and "timed by arrival" in line for line in report["warnings"])


def test_rtsp_with_a_wrong_nominal_rate_pairs(tmp_path, run):
    pictures = [street(i) for i in range(25)]
    with RtspServer(pictures, fps=25) as ir, RtspServer(pictures, fps=25) as vis:
        ir.rate = 20
        out = ("--out", tmp_path / "o.mp4", "--report", tmp_path / "r.json")
        answer = run("--ir", ir.url, "--vis", vis.url, *out, "--max-frames", 150, *QUICK)
        check_paired(tmp_path, answer, 150)
