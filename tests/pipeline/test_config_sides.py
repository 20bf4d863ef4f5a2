"""Each camera's own settings: what a run file may say, and what the command line's source leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusecam.pipeline.config import SideConfig, load
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.options import overrides


def written(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(f"sources: {text}\n")
    return file


@pytest.mark.parametrize(
    ("text", "source"),
    [("{ir: dev0}", "dev0"), ("{ir: 0}", "0"), ("{ir: {source: 0}}", "0"), ("{ir: }", None), ("{}", None)],
)
def test_source_string_is_the_short_form(tmp_path, text, source):
    assert load(written(tmp_path, text)).sources.ir == SideConfig(source=source)


def test_cameras_have_separate_settings(tmp_path):
    text = "{ir: {source: 0, format: y16, rate: 9, crop: [0, 0, 160, 120]}, vis: {source: 1, rotate: 180}}"
    sources = load(written(tmp_path, text)).sources
    assert (sources.ir.format, sources.ir.rate, sources.ir.crop) == ("y16", 9, (0, 0, 160, 120))
    assert sources.side("visible") == SideConfig(source="1", rotate=180)


def test_command_line_replaces_the_source_and_keeps_its_settings(tmp_path):
    file = written(tmp_path, "{ir: {source: 0, polarity: black-hot}, vis: {rate: 30}}")
    sources = load(file, overrides(ir="dev3", vis="1")).sources
    assert sources.ir == SideConfig(source="dev3", polarity="black-hot")
    assert sources.vis == SideConfig(source="1", rate=30)
    assert sources.reading("a.mp4", Path("b.mp4")).ir == SideConfig(source="a.mp4", polarity="black-hot")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{ir: [0]}", "sources.ir: give a source, or a mapping"),
        ("{ir: true}", "sources.ir: give a source"),
        ("{ir: {crop: [0, 0, 0, 5]}}", "sources.ir.crop: .*not \\[0, 0, 0, 5\\]"),
        ("{ir: {range: [5, 5]}}", "sources.ir.range: low must be below high"),
        ("{vis: {rate: 0}}", "sources.vis.rate"),
        ("{vis: {fps: 3}}", "unknown key 'sources.vis.fps'; known there: source, format"),
        ("{ir: {rotate: 45}}", "sources.ir.rotate"),
        ("{vis: {preset: p2pro, kelvin: 0.01}}", "sources.vis: kelvin, preset: for infrared only; give it under ir"),
    ],
)
def test_invalid_settings_are_named(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as caught:
        load(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "section",
    [
        {"sync": {"offset_ms": True}},
        {"max_frames": True},
        {"output": {"crf": False}},
        {"sources": {"ir": {"range": [True, 5]}}},
    ],
)
def test_yes_and_no_are_no_numbers(section: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is a switch's value"):
        load(section)
    assert load({"strict": True, "detector": {"track": False}}).strict


def test_empty_choice_of_classes_is_refused() -> None:
    """For plug-ins, too."""
    with pytest.raises(InputError, match=r"detector\.classes: List should have at least 1 item"):
        load({"detector": {"classes": [], "weights": "hot:200"}})
