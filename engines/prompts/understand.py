"""From a prompt to strengths of the six tasks, and one line on what was not understood."""

from __future__ import annotations

from dataclasses import dataclass

from ..base import EngineError
from ..networks.tasks import TASKS
from .words import LONGEST, words

EXAMPLES = ", ".join(f"'{task.example}'" for task in TASKS[:4])


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a text asks for.

    strengths: of TASKS, 1 for each degradation that it names, else 0: what is not said is not there. note: what of the
    text was left out, one line; empty when everything was understood.
    """

    strengths: tuple[float, ...]
    note: str = ""

    def __str__(self) -> str:
        """For example `visible: haze, low light; infrared: clean`."""
        parts = []
        for camera in ("visible", "infrared"):
            asked = [task.name for task, s in zip(TASKS, self.strengths, strict=True) if s and task.camera == camera]
            parts.append(f"{camera}: {', '.join(asked) or 'clean'}")
        return "; ".join(parts)


def understand(text: str) -> Prompt:
    """What a prompt asks for. EngineError, one line, for a text that says nothing of the pictures, or opposites."""
    sentence = words(text)
    if not sentence:
        raise EngineError(f"prompt {text!r}: says nothing; say for example {EXAMPLES}, 'clear', or auto")
    if len(sentence) > LONGEST:
        raise EngineError(f"prompt of {len(sentence)} words: say it in {LONGEST}")
    from .encoder import TAGS, read

    said: dict[str, list[str]] = {tag: [] for tag in TAGS}
    for word, tag in zip(sentence, read(sentence), strict=True):
        said[tag].append(word)
    asked = [bool(said[task.name]) for task in TASKS]
    if not any(said[tag] for tag in TAGS if tag not in ("filler", "other", "unknown")):
        if said["other"]:
            what = f"there is no task for {_quoted(said['other'])}"
        else:
            what = f"not understood: {_quoted(said['unknown'])}" if said["unknown"] else "says nothing of the pictures"
        raise EngineError(f"prompt {text!r}: {what}; say for example {EXAMPLES}, 'clear', or auto")
    for task, wanted in zip(TASKS, asked, strict=True):
        for opposite in (f"no {task.name}", f"clean {task.camera}", "clean"):
            if wanted and said[opposite]:
                both = f"{_quoted(said[task.name])} and {_quoted(said[opposite])}"
                raise EngineError(f"prompt {text!r}: {both} contradict each other ({task.name}): say one of them")
    if asked[5]:
        asked[4] = False  # what is asked eightfold is not asked fourfold too
    notes = []
    if said["unknown"]:
        notes.append(f"not understood: {_quoted(said['unknown'])}")
    if said["other"]:
        notes.append(f"there is no task for {_quoted(said['other'])}")
    prompt = Prompt(tuple(map(float, asked)))
    return Prompt(prompt.strengths, f"prompt: {'; '.join(notes)}; taken as {prompt}" if notes else "")


def _quoted(found: list[str]) -> str:
    return f"'{' '.join(dict.fromkeys(found))}'"
