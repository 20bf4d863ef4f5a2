"""Settings for 16-bit infrared that fusecam stored in a recording, for replaying it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import av.error

from ..config import KelvinConfig, SideConfig, SourceConfig
from ..core.frames import Temperature
from .container import open_container

KEY = "FUSECAM_INFRARED"
"""Key of the tag (Matroska) or of the channel's metadata (MCAP)."""
_SETTINGS = "kelvin", "range", "polarity"
_LONGEST = 1000  # characters


def note_of(config: SourceConfig, temperature: Temperature | None) -> str:
    """Settings for reading recorded counts, as JSON; "" without any.

    Args:
        config: settings with which they were read.
        temperature: temperatures of a frame, None without.
    """
    note: dict[str, Any] = {}
    if temperature is not None:
        note["kelvin"] = {"scale": temperature.scale, "offset": temperature.offset}
    if (shown := config.ir.range or config.thermal.range) is not None:
        note["range"] = shown
    if config.ir.polarity != "auto":
        note["polarity"] = config.ir.polarity
    return json.dumps({"version": 1, **note}) if note else ""


def as_recorded(spec: str, note: str | None, config: SourceConfig) -> tuple[SourceConfig, list[str]]:
    """Complete the settings by those stored in a recording.

    Args:
        spec: name of the source.
        note: JSON stored in the recording; None without.
        config: settings as given; they take precedence.

    Returns:
        The settings, and messages to report.
    """
    if note is None:
        return config, []
    given = config.ir.model_fields_set | ({"range"} if config.thermal.range is not None else set())
    try:
        content = json.loads(note[:_LONGEST])
        if content.pop("version") != 1:
            return config, [f"{spec}: its infrared settings are from a newer fusecam and are ignored"]
        stored = SideConfig.model_validate({name: content[name] for name in _SETTINGS if name in content})
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return config, [f"{spec}: its infrared settings ({KEY}) are damaged and are ignored"]
    taken = {name: getattr(stored, name) for name in _SETTINGS if name in stored.model_fields_set - given}
    if not taken:
        return config, []
    listed = ", ".join(f"{name} {_plain(value)}" for name, value in taken.items())
    line = f"{spec}: read as it was recorded, {listed}; sources.ir overrules it"
    return config.model_copy(update={"ir": config.ir.model_copy(update=taken)}), [line]


def _plain(value: Any) -> str:
    if isinstance(value, KelvinConfig):
        return f"{value.scale:g} per count" + (f" + {value.offset:g}" if value.offset else "")
    return f"[{value[0]:g}, {value[1]:g}]" if isinstance(value, tuple) else str(value)


def note_in_video(path: Path) -> str | None:
    """Infrared settings stored in a Matroska file, as JSON; None without."""
    if path.suffix.lower() == ".mkv":
        with suppress(av.error.FFmpegError, OSError), open_container(str(path.absolute()), "file") as container:
            return container.metadata.get(KEY)
    return None


def note_in_mcap(path: Path, topic: str) -> str | None:
    """Infrared settings stored with a topic of an MCAP file, as JSON; None without.

    Raises:
        ImportError: the package mcap is missing.
    """
    if path.suffix.lower() != ".mcap":
        return None
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    with suppress(McapError, OSError), path.open("rb") as file:
        for _, channel, _ in make_reader(file).iter_messages(topics=[topic]):
            return channel.metadata.get(KEY)
    return None
