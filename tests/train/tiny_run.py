"""A recipe that trains in seconds, and the command on it."""

from __future__ import annotations

import re

import typer
from typer.testing import CliRunner

from fusecam.train.cli import train

RECIPE = """
data: [{root: pairs, grid: core, size: [48, 64], batch: 2, hold_out: 4},
       {root: pairs, grid: frame, size: [64, 64], batch: 2, hold_out: 4}]
network: {profile: tiny}
losses: {dissimilarity: 0.1, unshared_differences: 0.1, perceptual: 0.1, colour: 0.1, chroma: 0.1, content: 0.1,
         structure: 0.1, retinex: 0.1, mutual_smoothness: 0.1, squared_restoration: 1}
steps: STEPS
steps_per_epoch: 2
average: 0.5
"""


def run(*arguments: str):
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, list(arguments))


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
