"""Parses prompts: strengths of the six tasks, and a note on what was not understood."""

from __future__ import annotations

from dataclasses import dataclass

from ..base import EngineError
from ..networks.tasks import TASKS
from .words import LONGEST, words

EXAMPLES = ", ".join(f"'{task.example}'" for task in TASKS[:4])


@dataclass(frozen=True, slots=True)
class Prompt:
    """A parsed prompt.

    Attributes:
        strengths: Of TASKS: 1 for each degradation that the text names, else 0.
        note: Words that were ignored, on one line; empty if there are none.
    """

    strengths: tuple[float, ...]
    note: str = ""

    def __str__(self) -> str:
        """For example `visible: haze, low light; infrared: clean`."""
        parts = []
        for camera in ("visible", "infrared"):
            names = [task.name for task, s in zip(TASKS, self.strengths, strict=True) if s and task.camera == camera]
            parts.append(f"{camera}: {', '.join(names) or 'clean'}")
        return "; ".join(parts)


def understand(text: str) -> Prompt:
    """Parse a prompt. Raises EngineError if it says nothing about the images, or contradicts itself."""
    sentence = words(text)
    if not sentence:
        raise EngineError(f"prompt {text!r}: says nothing; say for example {EXAMPLES}, 'clear', or auto")
    if len(sentence) > LONGEST:
        raise EngineError(f"prompt of {len(sentence)} words: say it in {LONGEST}")
    from .encoder import TAGS, read

    tagged: dict[str, list[str]] = {tag: [] for tag in TAGS}
    for word, tag in zip(sentence, read(sentence), strict=True):
        tagged[tag].append(word)
    requested = [bool(tagged[task.name]) for task in TASKS]
    ignored = {"unknown": "not understood:", "other": "there is no task for"}
    notes = [f"{what} {_quoted(tagged[tag])}" for tag, what in ignored.items() if tagged[tag]]
    if not any(tagged[tag] for tag in TAGS if tag not in ("filler", *ignored)):
        reason = notes[-1] if notes else "says nothing about the images"
        raise EngineError(f"prompt {text!r}: {reason}; say for example {EXAMPLES}, 'clear', or auto")
    for task, is_requested in zip(TASKS, requested, strict=True):
        for opposite in (f"no {task.name}", f"clean {task.camera}", "clean"):
            if is_requested and tagged[opposite]:
                both = f"{_quoted(tagged[task.name])} and {_quoted(tagged[opposite])}"
                raise EngineError(f"prompt {text!r}: {both} contradict each other ({task.name}): say one of them")
    if requested[5]:
        requested[4] = False  # eightfold resolution includes fourfold
    prompt = Prompt(tuple(map(float, requested)))
    return Prompt(prompt.strengths, f"prompt: {'; '.join(notes)}; taken as {prompt}" if notes else "")


def _quoted(names: list[str]) -> str:
    """The words in quotes, without duplicates."""
    return f"'{' '.join(dict.fromkeys(names))}'"
