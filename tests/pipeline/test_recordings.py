"""Recordings in the browser: those of the recorder's manifest, whole or in parts, and no other file."""

import http.client
import json

import pytest

from fusecam.pipeline.monitoring.address import Address
from fusecam.pipeline.monitoring.page.server import PageServer
from fusecam.pipeline.sinks.recording.manifest import MANIFEST, Manifest

from .test_serve import TOKEN, asked
from .watching import run_view

STEM = "20260102T030405.678Z"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "recording"
    (folder / "events").mkdir(parents=True)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (folder / "holiday.mp4").write_bytes(b"of the user")
    names = [f"{STEM}_fused.mp4", f"{STEM}_frames.jsonl", f"events/{STEM}.mp4", f"{STEM}_visible.mp4"]
    for name in names:
        (folder / name).write_bytes(b"0123456789")
    (folder / f"{STEM}_infrared.mp4").symlink_to(tmp_path / "secret.mp4")
    listed = [*names, f"{STEM}_infrared.mp4", "../secret.mp4", "20260102T030406.678Z_fused.mp4"]
    (folder / MANIFEST).write_text("".join(f"{name}\n" for name in listed))
    view = run_view()
    view.recorded = Manifest(folder)
    server = PageServer(Address("127.0.0.1", 0), TOKEN, view, print)
    yield f"http://{server.address}", folder
    server.close()


def test_listed_videos_are_sorted_newest_first_and_served_in_ranges(served):
    url, _ = served
    status, _, text, _ = asked(url, "/recordings", headers=LOGIN)
    assert status == 200
    assert json.loads(text) == [[f"events/{STEM}.mp4", 10], [f"{STEM}_visible.mp4", 10], [f"{STEM}_fused.mp4", 10]]
    for name, _ in json.loads(text):
        status, headers, text, _ = asked(url, f"/recordings/{name}", headers=LOGIN | {"Range": "bytes=2-4"})
        assert (status, text, headers["Content-Type"]) == (206, "234", "video/mp4")
        assert "media-src 'self'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    ["holiday.mp4", "../secret.mp4", "..%2fsecret.mp4", "%2e%2e/secret.mp4", "events/../../secret.mp4", "/etc/passwd",
     "%2fetc%2fpasswd", MANIFEST, f"{STEM}_infrared.mp4", f"{STEM}_frames.jsonl", "20260102T030406.678Z_fused.mp4",
     f"./{STEM}_fused.mp4", f"{STEM}_fused.mp4%00", "events"],
)  # fmt: skip
def test_unlisted_files_are_not_served(served, path):
    talk = http.client.HTTPConnection(served[0].removeprefix("http://"), timeout=10)  # sends the path as it is
    talk.request("GET", f"/recordings/{path}", headers=LOGIN)
    answer = talk.getresponse()
    text = answer.read()
    talk.close()
    assert answer.status == 404 and b"secret" not in text and b"user" not in text


def test_recordings_need_the_token(served):
    url, _ = served
    for path in ("/recordings", f"/recordings/{STEM}_fused.mp4"):
        status, _, text, _ = asked(url, path)
        assert status == 401 and STEM not in text and "0123" not in text


def test_removed_entries_and_foreign_folders_are_not_served(served, tmp_path):
    url, folder = served
    (folder / "events").rename(tmp_path / "elsewhere")
    (folder / "events").symlink_to(tmp_path / "elsewhere")
    lines = (folder / MANIFEST).read_text().splitlines()
    (folder / MANIFEST).write_text("".join(f"{line}\n" for line in lines if "visible" not in line))
    assert asked(url, f"/recordings/events/{STEM}.mp4", headers=LOGIN)[0] == 404
    assert asked(url, f"/recordings/{STEM}_visible.mp4", headers=LOGIN)[0] == 404
