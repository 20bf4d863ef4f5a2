"""The command `fusecam`: options in, runs out, every expected error as one line on stderr.

Modules that load OpenCV, PyAV or a network are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..engines.host.options import flag, option, place
from ..engines.host.terminal import Terminal, markup, redact
from . import options
from .commands.labels import labels
from .core.log import log_event, write_json_lines, writing
from .core.stderr import FULL, crashed, guard_stderr
from .errors import InputError, expected_errors
from .short_help import ShortCommand, ShortHelp, show_whole

EXAMPLES = """
fusecam --ir dev0 --vis dev1 --rig rig.yaml     [dim]two cameras, in a window[/dim]

fusecam --ir ir.mp4 --vis vis.mp4 -o fused.mp4  [dim]two files[/dim]

fusecam batch DRIVES DRIVES -o FUSED            [dim]x_ir.mp4 with x_vis.mp4, ...[/dim]
"""
BATCH_EXAMPLES = """
[bold]Examples[/bold]

fusecam batch drives drives -o fused --rig rig.yaml   [dim]a_ir.mp4, a_vis.mp4[/dim]

fusecam batch irs viss -o fused --ray                 [dim]a.mp4 in both[/dim]

fusecam batch 'drives/*/ir.mkv' 'drives/*/vis.mkv' -o fused
"""
if os.environ.get("COLUMNS") == "0":  # a terminal that does not know its width; rich would print nothing
    del os.environ["COLUMNS"]
app = typer.Typer(
    name="fusecam",
    cls=ShortHelp,
    epilog=EXAMPLES,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Terminal(stderr=True, emoji=False)

HelpAll = Annotated[bool, flag("--help-all", callback=show_whole, is_eager=True, help="All options.")]


def _version(asked: bool) -> None:
    if asked:
        from .core.machine import version

        typer.echo(f"fusecam {version('fusecam')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
@options.taking(single=True, after=1)
def run(
    context: typer.Context,
    version: Annotated[
        bool | None, flag("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
    help_all: HelpAll = False,
    **given: Any,
) -> None:
    """Fuse an infrared and a visible camera: synchronised, registered, dehazed, enhanced, with detection."""
    config, log_json = given.pop("config"), given["log_json"]
    overrides = options.overrides(**given)
    if context.invoked_subcommand is not None:
        if overrides or config is not None:
            raise InputError(
                f"options precede '{context.invoked_subcommand}': put them after it "
                f"(fusecam {context.invoked_subcommand} --help lists them)"
            )
        return
    if not overrides and config is None:
        typer.echo(context.get_help())
        return

    from .commands.fuse import run_fuse
    from .config import load

    if log_json:
        write_json_lines()
    raise typer.Exit(run_fuse(load(config, overrides), console))


@app.command(epilog=BATCH_EXAMPLES, cls=ShortCommand)
@options.taking(single=False, after=6)
def batch(
    ir_source: Annotated[
        str, typer.Argument(metavar="IR", help="Folder, glob or single file of infrared clips.", show_default=False)
    ],
    vis_source: Annotated[
        str, typer.Argument(metavar="VIS", help="The visible clips; may be the same folder.", show_default=False)
    ],
    out: Annotated[
        Path,
        option("--out", "-o", panel=options.OUTPUT, metavar="DIR", parser=place, help="Folder for the results."),
    ],
    force: Annotated[bool, flag("--force", panel=options.RUN, help="Redo clips that are already finished.")] = False,
    ray: Annotated[
        str | None,
        option(
            panel=options.RUN,
            metavar="[ADDRESS]",
            help="Run on a Ray cluster at HOST:PORT or ray://HOST:PORT. Without ADDRESS: the cluster that this machine "
            "is in, or a new one of this machine alone.",
        ),
    ] = None,
    ray_cores: Annotated[
        int | None,
        option(panel=options.RUN, metavar="N", min=1, help="Cores for each clip on the cluster. Default: 2."),
    ] = None,
    help_all: HelpAll = False,
    **given: Any,
) -> None:
    """Fuse folders of clips, one after the other or on a cluster. Finished clips are kept.

    Clips pair by name without the camera's marker (ir, thermal, T; vis, rgb, W):
    a_ir.mp4 with a_vis.mp4, or a.mp4 in two folders. For globs over folders
    ('d*/ir.mp4') the parts that match * are the names. Results: DIR/a.mp4, DIR/a.jsonl
    and DIR/a.report.json.
    """
    from .batch.run import run_batch
    from .config import load

    config = load(given.pop("config"), options.overrides(**given))
    if ray_cores is not None and ray is None:
        raise InputError("--ray-cores needs --ray: without a cluster a clip has the whole machine")
    cluster = None
    if ray is not None:
        from .batch.cluster import CORES, Cluster

        cluster = Cluster(ray, ray_cores or CORES)
    raise typer.Exit(run_batch(ir_source, vis_source, out, config, force, console, cluster))


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", parser=place, help="Folder for the results.")
    ] = Path("fusecam-demo"),
    detector: Annotated[Path | None, option(metavar="FILE", help=options.OPTIONS["detector"].help)] = None,
) -> None:
    """Run the sample clips: fog by day, clear night, fog by night.

    Writes fused videos, a contact sheet and latencies. Needs no camera, network or GPU.
    """
    from .commands.demo import run_demo

    raise typer.Exit(run_demo(out, detector, console))


app.command()(labels)


@app.command()
def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="frames: JSON lines beside an output. camera: those of one recorded camera. report: --report. "
            "run: run file. rig: rig file. log: --log-json. detection: detection.json of eval.",
            show_default=False,
        ),
    ],
) -> None:
    """Print the JSON schema of a file that fusecam writes or reads."""
    from .commands.schema import schema

    typer.echo(json.dumps(schema(name), indent=2))


@app.command()
def doctor() -> None:
    """Show hardware, backends and engines of this machine, and why each is used."""
    from .commands.doctor import run_doctor

    run_doctor(Terminal(emoji=False))


for command in entry_points(group="fusecam.commands"):  # training and evaluation, which nothing here depends on
    loaded = command.load()
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=command.name)
    else:
        app.command(command.name)(loaded)


def main() -> None:
    """Console entry point. Exit codes: 0 done, 1 failed, 2 wrong options, 3 done but doubtful, 130 interrupted."""
    guard_stderr()
    try:
        done = app(standalone_mode=False)
        sys.exit(done if isinstance(done, int) else 0)
    except expected_errors() as error:
        fail(error)
    except BrokenPipeError:  # the reader of our output went away, as in `fusecam doctor | head`
        _discard_stdout()
        sys.exit(1)
    except Exception as error:
        if isinstance(error, ImportError) and ("libGL" in str(error) or "libglib" in str(error)):
            fail(f"OpenCV needs a system library ({error}): install it, e.g. apt-get install libgl1 libglib2.0-0")
        if isinstance(error, OSError) and error.errno in FULL:
            _discard_stdout()
            fail(f"{error.filename or 'the output'}: {error.strerror}: make room, or write it elsewhere")
        if hasattr(error, "format_message"):  # Typer's own, of wrong options
            sys.exit(_usage_error(error))
        crashed(error)
        sys.exit(1)


def _usage_error(error: Any) -> int:
    """Say what is wrong with the options, without the passwords in them. Returns the exit code."""
    from typer.rich_utils import rich_format_error

    error.message = redact(error.message)
    rich_format_error(error)
    return int(error.exit_code)


def _discard_stdout() -> None:
    """Discard further output to stdout: it would fail again, at interpreter exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: object) -> NoReturn:
    """Say what is wrong on one line of stderr and leave with exit code 1."""
    if writing():
        log_event("failed", logging.ERROR, message=str(error))
    else:
        console.print(f"[bold red]fusecam: error:[/] {markup(error)}", soft_wrap=True, highlight=False)
    sys.exit(1)
