"""Media files that were made to harm: huge pictures in few bytes, and text that makes FFmpeg open the network."""

import os
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusecam.engines.host.media import MOST_PIXELS, open_image
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source
from fusecam.train.errors import TrainError
from fusecam.train.images import read_image

from .clips import write_video

pytestmark = pytest.mark.slow

CONFIG = SourceConfig(open_timeout_s=3)


def png(side: int) -> bytes:
    """A black RGBA picture of side x side pixels, about 1 / 1,000 of its size in memory."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + 4 * side)) for _ in range(side)) + packed.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def claims(path: Path, kind: str, side: int) -> Path:
    """A small image of the kind whose header claims side x side pixels."""
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path, kind)
    data = bytearray(path.read_bytes())
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "TIFF":
        for tag in (256, 257):
            at = data.index(struct.pack("<HHI", tag, 4, 1)) if struct.pack("<HHI", tag, 4, 1) in data else -1
            at = at if at >= 0 else data.index(struct.pack("<HHI", tag, 3, 1))
            data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
    elif kind == "WEBP":
        at = data.index(b"VP8 ") + 14
        data[at : at + 4] = struct.pack("<HH", side, side)
    path.write_bytes(data)
    return path


def test_many_deep_channels_use_bounded_memory(tmp_path):
    """TIFFs of 16 bits have a reader of their own."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint16), byteorder="<")
    small = path.read_bytes()
    for tag, value, what in ((256, 3_000_000, "megapixels"), (277, 60_000, "channels")):
        data = bytearray(small)
        at = next(i for i in range(8, len(data)) if data[i : i + 2] == struct.pack("<H", tag) and data[i + 4] == 1)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
        path.write_bytes(data)
        with pytest.raises(InputError, match=what):
            open_source(str(path), "infrared", CONFIG)


@pytest.mark.parametrize(("kind", "side"), [("JPEG", 30_000), ("TIFF", 30_000), ("BMP", 12_000), ("WEBP", 9_000)])
def test_oversized_image_headers_are_refused(tmp_path, kind, side):
    path = claims(tmp_path / "a.png", kind, side)
    with pytest.raises(InputError, match=r"a\.png.*(megapixels|pixels\) exceeds)") as caught:
        open_source(str(path), "visible", CONFIG)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainError, match=r"a\.png"):
        read_image(path)


LITTLE = """
import resource, sys
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source
from fusecam.train.errors import TrainError
from fusecam.train.images import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for camera in ("visible", "infrared"):
    try:
        open_source(sys.argv[1], camera, SourceConfig())
    except InputError as error:
        print(error)
if sys.argv[1] != "-":
    try:
        read_image(__import__("pathlib").Path(sys.argv[1]))
    except TrainError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("way", ["image", "stdin"])
def test_small_files_use_little_memory(tmp_path, way):
    side = 9_000
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side))
    assert path.stat().st_size < 400_000 < side * side * 4
    arguments = [sys.executable, "-c", LITTLE, str(path) if way == "image" else "-"]
    with path.open("rb") as file:
        done = subprocess.run(arguments, stdin=file, capture_output=True, text=True, timeout=120, check=True)
    *lines, mib = done.stdout.splitlines()
    assert int(mib) < 100
    assert len(lines) == (3 if way == "image" else 2)
    assert all("bomb.png" in line or line.startswith("-: ") for line in lines), lines
    assert done.stderr == ""


def test_largest_allowed_image_is_read(tmp_path):
    side = int(MOST_PIXELS**0.5)
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        assert image.size == (side, side)


def test_image_reader_opens_images_only(tmp_path):
    """An EPS file would start Ghostscript, whatever it is called."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ValueError, match="unknown or damaged format"):  # not only when Ghostscript is missing
        open_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png"):
        open_source(str(tmp_path / "a.png"), "visible", CONFIG)


PORT = 45_678
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    f"m=video {PORT} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
)


def listening() -> bool:
    """Whether this process holds a UDP socket on PORT."""
    table = Path("/proc/self/net/udp").read_text() + Path("/proc/self/net/udp6").read_text()
    return f":{PORT:04X}" in table


def told(text: bytes, way: str, folder: Path) -> str:
    """A source that gives this text."""
    path = folder / "a.mp4"
    if way == "file":
        path.write_bytes(text)
        return str(path)
    if way == "pipe":
        os.mkfifo(path)
        threading.Thread(target=lambda: path.write_bytes(text), daemon=True).start()
        return str(path)
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        talk, _ = server.accept()
        with talk, server:
            talk.sendall(text)

    threading.Thread(target=serve, daemon=True).start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("way", ["file", "pipe", "tcp"])
def test_media_file_opens_no_port(tmp_path, way):
    spec = told(SDP.encode(), way, tmp_path)
    seen, over = [], threading.Event()

    def watch():
        while not over.wait(0.02):
            seen.append(listening())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(InputError) as caught:
            open_source(spec, "visible", CONFIG)
    finally:
        over.set()
        watcher.join()
    assert not any(seen)
    assert "\n" not in str(caught.value)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nfile://{clip}\n#EXT-X-ENDLIST\n",
    "list": "ffconcat version 1.0\nfile private.ts\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("way", ["pipe", "tcp"])
def test_remote_input_reads_no_local_file(tmp_path, way, kind, monkeypatch):
    """It names a clip of this machine."""
    monkeypatch.chdir(tmp_path)
    clip = write_video(tmp_path / "private.ts", range(10))
    spec = told(PLAYLISTS[kind].format(clip=clip).encode(), way, tmp_path)
    with pytest.raises(InputError):
        open_source(spec, "visible", CONFIG)
