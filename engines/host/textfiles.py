"""Detects text files in place of weights, images or videos, for helpful messages."""

from __future__ import annotations

from pathlib import Path

_HEADER_BYTES = 512


def what_text(file: Path) -> str | None:
    """Describe a known kind of text file and how to fix it; None for other files, and files that cannot be read."""
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError:
        return None
    if header.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself; run `git lfs pull` where it came from"
    if header.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not the file; download the file itself (on GitHub and Hugging Face: its raw form)"
    if header.lstrip().startswith((b'{"error', b'{"message', b"Not Found", b"Entry not found", b"Access to model")):
        return "a server's answer that there is no such file; check its address and download it again"
    return None
