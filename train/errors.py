"""The exception that is meant for the person at the keyboard."""


class TrainError(Exception):
    """Data or settings cannot be used. One line: the culprit, what is wrong, what to do."""
