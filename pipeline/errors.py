"""The one exception of the pipeline that is meant for the person at the keyboard."""


class InputError(Exception):
    """Something the user gave cannot be used. The message is one line: the culprit, what is wrong, what to do."""
