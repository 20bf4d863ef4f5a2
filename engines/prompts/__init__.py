"""Prompts: degradations of each camera's image, from text or measured. Importing this package does not import torch."""

from ..networks.tasks import TASKS, Task
from .understand import Prompt, understand

__all__ = ["TASKS", "Prompt", "Task", "understand"]
