"""Help on one screen: the most used options and every command, a line each; `--help-all` has all of it."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from . import options

WHOLE = "fusecam.whole_help"
TRUTH = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})
"""Values that other programs' flags have."""
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
    "export": "Write a network as ONNX.",
}


class ShortHelp(TyperGroup):
    """A group of commands whose help is short unless the whole is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take old names of options, of commands too, for the new ones. Refuse values of flags."""
        for name, word in pairwise(args):
            spellings = _flags(self).get(name) if word.lower() in TRUTH else None
            if spellings and not Path(word).exists():
                ctx.fail(f"{name} takes no value, but '{word}' follows: write {' or '.join(spellings)} alone")
        named = [(name, equals + value) for name, equals, value in (arg.partition("=") for arg in args)]
        return super().parse_args(ctx, [options.OLD_NAMES.get(name, name) + rest for name, rest in named])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        short: Any = self
        if not ctx.meta.get(WHOLE):
            short = copy.copy(self)
            short.params = [_shortened(each) for each in self.params if each.name in BRIEF]
            short.commands = {
                name: _named(self.commands[name], line) for name, line in COMMANDS.items() if name in self.commands
            } | {name: command for name, command in self.commands.items() if name not in COMMANDS}  # other packages'
            short.list_commands = lambda ctx: list(short.commands)
        super(ShortHelp, short).format_help(ctx, formatter)


def _flags(command: Any) -> dict[str, list[str]]:
    """Spellings of the flags of a command and its subcommands, by each spelling."""
    every = [[*each.opts, *each.secondary_opts] for each in command.params if getattr(each, "is_flag", False)]
    found = {name: names for names in every for name in names}
    for each in getattr(command, "commands", {}).values():
        found |= _flags(each)
    return found


class ShortCommand(options.BareRay):
    """A command that has options of the table: of these its short help has the most used."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        short: Any = self
        if not ctx.meta.get(WHOLE):
            short = copy.copy(self)
            shared = {name for name, option in options.OPTIONS.items() if not option.single}
            hidden = shared - BRIEF.keys()
            short.params = [_shortened(each, each.name in shared) for each in self.params if each.name not in hidden]
        super(ShortCommand, short).format_help(ctx, formatter)


def _shortened(option: Any, brief: bool = True) -> Any:
    short = copy.copy(option)
    short.rich_help_panel = None
    if brief:
        short.help, short.secondary_opts = BRIEF[option.name], []
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
