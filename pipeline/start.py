"""The console entry point: imports the command, which takes a second or more, and runs it."""

from __future__ import annotations

import signal


def main() -> None:
    """Run `cli.main`. Ctrl-C before it ends the process at once and in silence: nothing is open yet."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else it is ignored, as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from . import cli

    signal.signal(signal.SIGINT, handler)
    cli.main()
