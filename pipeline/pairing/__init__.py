"""Pairing of the images or clips of both cameras, shared by runs, batches, evaluation and training."""

from .clips import ClipPair, pair_clips
from .images import Pairing, pair_images
from .labels import Label, belongs_to_infrared, camera_of, labels_of
from .stamps import stamps_beside
from .table import PairTable, read_pairs

__all__ = [
    "ClipPair",
    "Label",
    "PairTable",
    "Pairing",
    "belongs_to_infrared",
    "camera_of",
    "labels_of",
    "pair_clips",
    "pair_images",
    "read_pairs",
    "stamps_beside",
]
