"""Prompts: what is wrong with each camera's picture, said in words or measured. Importing this imports no torch."""

from ..networks.tasks import TASKS, Task
from .understand import Prompt, understand

__all__ = ["TASKS", "Prompt", "Task", "understand"]
