"""`fusecam --help` on one screen: the most used options and every command, a line each; `--help-all` has all of it."""

from __future__ import annotations

import copy
from typing import Any

import typer
from typer.core import TyperGroup

from . import options

WHOLE = "fusecam.whole_help"
BRIEF = {name: option.brief for name, option in options.OPTIONS.items() if option.brief} | {"help_all": "All options."}
COMMANDS = {
    "demo": "Run the sample clips.",
    "batch": "Fuse folders of clips.",
    "calibrate": "Calibrate the camera pair: a rig file.",
    "view-rig": "Show both cameras registered by a rig file.",
    "doctor": "Hardware, backends, and why each is used.",
    "bench": "Measure engines, detector and whole chain.",
    "eval": "Fusion metrics, and mAP with --detect.",
    "labels": "Detections as COCO, YOLO or MOT files.",
    "train": "Train a fusion network or the detector.",
    "weights": "Weights of the networks: import, list, remove.",
    "engines": "Engine cache: list, clear.",
    "schema": "JSON schema of JSON lines, report, run file, rig file.",
    "compile": "Build a TensorRT-RTX engine.",
}


class ShortHelp(TyperGroup):
    """A group of commands whose help is short unless the whole is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        if ctx.meta.get(WHOLE):
            super().format_help(ctx, formatter)
            return
        short: Any = copy.copy(self)
        short.params = [_shortened(each, BRIEF[each.name]) for each in self.params if each.name in BRIEF]
        short.commands = {
            name: _named(self.commands[name], line) for name, line in COMMANDS.items() if name in self.commands
        }
        short.list_commands = lambda ctx: list(short.commands)
        super(ShortHelp, short).format_help(ctx, formatter)


def _shortened(option: Any, text: str) -> Any:
    short = copy.copy(option)
    short.help, short.rich_help_panel, short.secondary_opts = text, None, []
    return short


def _named(command: Any, text: str) -> Any:
    short = copy.copy(command)
    short.help = short.short_help = text
    return short


def show_whole(ctx: typer.Context, asked: bool) -> None:
    """What `--help-all` does."""
    if asked:
        ctx.meta[WHOLE] = True
        typer.echo(ctx.get_help())
        raise typer.Exit
