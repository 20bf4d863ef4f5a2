"""A radiometric JPEG as FLIR's cameras write it, by ExifTool's description of the format."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

R1, R2, B, F, O = 16556.0, 0.0459, 1428.0, 1.0, -342  # noqa: E741
"""Planck's constants of a camera."""


def kelvin(counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Of a body that is black and near."""
    return B / np.log(R1 / (R2 * (counts.astype(np.float64) + O)) + F)


def write_radiometric(path: Path, counts: npt.NDArray[np.uint16], drawn: npt.NDArray[np.uint8], png: bool) -> Path:
    """drawn: the picture that other programs show. png: how the counts are stored, byte-swapped, or plain."""
    raw = counts.astype("<u2").tobytes()
    if png:
        held = BytesIO()
        Image.fromarray(counts.byteswap()).save(held, "PNG")
        raw = held.getvalue()
    height, width = counts.shape
    first = struct.pack("<HHH", 2, width, height).ljust(32, b"\0") + raw
    camera = bytearray(1000)
    for at, values in {32: (1, 0, 293.15, 293.15, 293.15, 1), 60: (0.5,), 88: (R1, B, F), 112: (0, 0, 0, 0, 1)}.items():
        struct.pack_into(f"<{len(values)}f", camera, at, *values)
    struct.pack_into("<if", camera, 776, O, R2)
    entries = 8  # as in cameras' files, some of them empty
    place, directory = 64 + entries * 32, b""
    for kind, content in ((1, first), (32, bytes(camera))):
        directory += struct.pack(">HHIIIIIII", kind, 1, 100, 1, place, len(content), 0, 0, 0)[:32].ljust(32, b"\0")
        place += len(content)
    whole = b"FFF\0" + b"FLIR".ljust(16, b"\0") + struct.pack(">III", 100, 64, entries)
    whole = whole.ljust(64, b"\0") + directory.ljust(entries * 32, b"\0") + first + bytes(camera)
    parts = [whole[at : at + 60_000] for at in range(0, len(whole), 60_000)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 10) + b"FLIR\0\1" + bytes((number, len(parts) - 1)) + part
        for number, part in enumerate(parts)
    )
    Image.fromarray(drawn).save(path, "JPEG")
    plain = path.read_bytes()
    path.write_bytes(plain[:2] + segments + plain[2:])
    return path
