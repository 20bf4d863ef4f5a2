"""Exceptions whose messages are shown to the user."""


class TrainError(Exception):
    """Unusable data or settings. The message is one line: the file or option, the problem, the remedy."""


class Interrupted(Exception):
    """The user stopped the run. The message is one line: what was saved, and how to continue."""
