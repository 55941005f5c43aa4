"""What looks like a lesion and is none: drusen, pigment spots, bright reflexes; drawn whatever the grade."""

from __future__ import annotations

import math

import numpy as np

from medmtl.data.synthesis.anatomy import Eye, Layer
from medmtl.data.synthesis.drawing import Canvas, Frame, blob


def distractor_layers(frame: Frame, eye: Eye, rng: np.random.Generator) -> list[Layer]:
    """Layers of drusen (a third of the eyes), pigment spots and reflexes (a quarter each)."""
    layers: list[Layer] = []
    if rng.random() < 0.35:
        layers.append(_drusen(frame, eye, rng))
    if rng.random() < 0.3:
        layers.append(_spots(frame, rng, int(rng.integers(1, 5)), 0.009, (-0.9, -0.9, -0.6)))
    if rng.random() < 0.25:
        layers.append(_spots(frame, rng, int(rng.integers(1, 4)), 0.006, (0.5, 0.5, 0.8)))
    return layers


def _drusen(frame: Frame, eye: Eye, rng: np.random.Generator) -> Layer:
    """Round pale spots about the fovea, fainter and softer than hard exudates, and alike among themselves."""
    canvas, size = Canvas(frame), rng.uniform(0.006, 0.013)
    for _ in range(int(rng.integers(8, 45))):
        turn, reach = rng.uniform(0, 2 * math.pi), 0.03 + abs(rng.normal(0, 0.08))
        place = np.array(eye.fovea) + reach * np.array([math.cos(turn), math.sin(turn)])
        canvas.fill(blob(rng, place, size / 2 * rng.uniform(0.7, 1.3), roughness=0.05), rng.uniform(0.4, 1))
    plane = canvas.coverage(max(0.0022, 0.8 / frame.diameter)) * np.float32(rng.uniform(0.1, 0.17))
    return plane, (0.5, 1.0, 0.7)


def _spots(
    frame: Frame, rng: np.random.Generator, count: int, size: float, weights: tuple[float, float, float]
) -> Layer:
    canvas = Canvas(frame)
    for _ in range(count):
        turn, reach = rng.uniform(0, 2 * math.pi), 0.44 * math.sqrt(rng.random())
        place = reach * np.array([math.cos(turn), math.sin(turn)])
        canvas.fill(blob(rng, place, size / 2 * rng.uniform(0.7, 2.2), aspect=rng.uniform(1, 1.6)), rng.uniform(0.3, 1))
    return canvas.coverage(max(0.0015, 0.5 / frame.diameter)) * np.float32(0.3), weights
