"""The exceptions that are meant for the person at the keyboard."""


class TrainError(Exception):
    """Data or settings cannot be used. One line: the culprit, what is wrong, what to do."""


class Interrupted(Exception):
    """The person ended it. One line: what there is, and how to go on."""
