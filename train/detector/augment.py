"""Data augmentation: random crop, scale and flip, narrower infrared view, occlusion by poles, colour and sharpness."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ...engines.base import Pixels
from .boxes import Boxes

GRAY = 114
"""Padding value outside the frame, as in YOLO."""


def cut(
    image: Pixels, boxes: Boxes, size: tuple[int, int], random: np.random.Generator, usual: float = 1.0
) -> tuple[Pixels, Boxes]:
    """Random crop of (height, width): the frame is scaled by 0.6 to 1.6 times `usual` and flipped at random.

    Boxes are clipped to the crop and dropped if less than a quarter of the area, less than 2 pixels of the shorter side
    or less than 4 pixels of the longer side remain. image: (H, W, C) uint8. size: (height, width).
    """
    height, width = size
    scale = usual * float(np.exp(random.normal(0, 0.25)).clip(0.6, 1.6))
    stretch = float(np.exp(random.normal(0, 0.05)))
    frame_height, frame_width = image.shape[:2]
    across, down = frame_width * scale * stretch, frame_height * scale
    # A larger frame is cropped at a random position; a smaller one is placed at a random position in the window.
    left, top = (float(random.uniform(min(0, room), max(0, room))) for room in (width - across, height - down))
    mirrored = random.random() < 0.5
    x_scale = -scale * stretch if mirrored else scale * stretch
    y_scale = scale
    if scale < 0.8:  # warpAffine does not antialias: reduce by area averaging first
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        x_scale, y_scale = x_scale * frame_width / image.shape[1], y_scale * frame_height / image.shape[0]
    # OpenCV has pixel centres at integers, box coordinates have pixel corners there: a shift of half a pixel
    shift_x, shift_y = left + (across if mirrored else 0) + x_scale / 2 - 0.5, top + y_scale / 2 - 0.5
    matrix = np.array([[x_scale, 0, shift_x], [0, y_scale, shift_y]])
    pixels = cv2.warpAffine(image, matrix, (width, height), borderValue=(GRAY,) * 4)

    x, w = boxes[:, 1] * across, boxes[:, 3] * across
    x = across - x if mirrored else x
    y, h = boxes[:, 2] * down, boxes[:, 4] * down
    x1, x2 = (np.clip(x + half * w + left, 0, width) for half in (-0.5, 0.5))
    y1, y2 = (np.clip(y + half * h + top, 0, height) for half in (-0.5, 0.5))
    seen_w, seen_h = x2 - x1, y2 - y1
    valid = (seen_w * seen_h >= 0.25 * w * h) & (np.minimum(seen_w, seen_h) >= 2) & (np.maximum(seen_w, seen_h) >= 4)
    clipped = np.stack([boxes[:, 0], (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, seen_w / width, seen_h / height], 1)
    return np.asarray(pixels, np.uint8), np.asarray(clipped[valid], np.float32)


def narrowed(
    fused: Pixels, boxes: Boxes, alone: Pixels, alone_boxes: Boxes, random: np.random.Generator
) -> tuple[Pixels, Boxes]:
    """Simulate an infrared camera with a narrower field of view: replace the sides of the fused frame by `alone`.

    fused, alone: (H, W, 3) uint8, with and without infrared. A box is taken from the frame that its centre lies in.
    """
    width = fused.shape[1]
    left, right = (random.uniform(0.03, 0.2) if random.random() < 0.7 else 0.0 for _ in range(2))
    inside = slice(round(left * width), round((1 - right) * width))
    image = alone.copy()
    image[:, inside] = fused[:, inside]

    def covered(rows: Boxes) -> npt.NDArray[np.bool_]:
        return np.asarray((rows[:, 1] > left) & (rows[:, 1] < 1 - right))

    return image, np.concatenate([boxes[covered(boxes)], alone_boxes[~covered(alone_boxes)]])


def with_pole(image: Pixels, boxes: Boxes, random: np.random.Generator) -> Pixels:
    """Draw a translucent pole over a random person, or anywhere if there is none; at most half the person's width."""
    height, width = image.shape[:2]
    people = boxes[(boxes[:, 0] == 0) & (boxes[:, 4] * height > 20)]
    if len(people):
        _, x, y, w, h = people[int(random.integers(len(people)))]
    else:
        x, y, w, h = random.uniform(0.1, 0.9), 0.5, 0.04, 0.15
    across = max(2.0, random.uniform(0.1, 0.5) * w * width)
    middle = (x + random.uniform(-0.5, 0.5) * w) * width
    top, bottom = (y - random.uniform(0.4, 3) * h) * height, (y + random.uniform(0.5, 0.8) * h) * height
    corners = [round(middle - across / 2), round(top)], [round(middle + across / 2), round(bottom)]
    # about as bright as its surroundings, since fog and darkness hide its own colour
    level = float(image[max(0, round(top)) : max(1, round(bottom)), int(np.clip(middle, 0, width - 1))].mean())
    colour = np.clip(level * random.uniform(0.2, 1.5) + random.normal(0, 6, image.shape[2]), 0, 255)
    drawn = cv2.rectangle(image.copy(), *corners, colour.tolist(), -1)
    opacity = random.uniform(0.6, 1)
    return np.asarray(cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0), np.uint8)


def jitter(image: Pixels, random: np.random.Generator) -> Pixels:
    """Photometric augmentation: sharpness, gamma, white balance, saturation, noise. image: (H, W, 3) uint8 RGB."""
    drawn = random.random()
    if drawn < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.6)), np.uint8)
    elif drawn < 0.5:
        soft = cv2.GaussianBlur(image, (0, 0), random.uniform(0.8, 2))
        amount = random.uniform(0.3, 1.5)
        image = np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)
    if random.random() < 0.4:
        gain = np.exp(random.normal(0, 0.06, 3)) if random.random() < 0.5 else np.ones(3)
        levels = 255 * (np.arange(256) / 255) ** float(np.exp(random.normal(0, 0.3))) * random.uniform(0.75, 1.2)
        table = np.clip(levels[:, None] * gain, 0, 255).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table[:, None]), np.uint8)
    if random.random() < 0.3:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
        colourful = random.uniform(0, 1.6)
        image = np.asarray(cv2.addWeighted(image, colourful, gray, 1 - colourful, 0), np.uint8)
    if random.random() < 0.15:
        grain = random.normal(0, random.uniform(1, 6), image.shape[:2])[..., None]
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return image
