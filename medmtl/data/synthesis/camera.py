"""The camera: light, tint, stray light, blur and noise make the image from layers of log-reflectance."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.anatomy import Layer
from medmtl.data.synthesis.domain import Domain
from medmtl.data.synthesis.drawing import Frame, Mask, Plane, blurred, smooth_field


def light_layers(frame: Frame, domain: Domain, rng: np.random.Generator) -> list[Layer]:
    """Vignetting about a point near the centre, slow changes, and in a quarter of the images a pale crescent."""
    x, y = frame.grid()
    cx, cy = rng.normal(0, 0.06, 2)
    squared = (x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2
    fall = np.log1p(-np.minimum(domain.vignetting * squared * 3.2, 0.9)).astype(np.float32)
    slow = smooth_field(rng, frame.size, 2) * np.float32(domain.unevenness)
    layers: list[Layer] = [(fall, (0.8, 1.1, 1.0)), (slow, (0.7, 1.0, 1.0))]
    turn, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.12)
    if rng.random() < 0.25:
        distance = np.sqrt((x - np.float32(0.2 * np.cos(turn))) ** 2 + (y - np.float32(0.2 * np.sin(turn))) ** 2)
        crescent = np.clip((distance - (0.7 - depth)) / depth, 0, 1.5).astype(np.float32)
        layers.append((crescent, (0.1, 0.5, 0.6)))
    return layers


def expose(layers: list[Layer], frame: Frame, domain: Domain, fov: Mask, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sums the layers and takes the photograph.

    Args:
        layers: Maps with their weights in the logarithm of red, green and blue.
        frame: Where the eye lies in the image.
        domain: The camera, already drawn for this image.
        fov: Field of view; outside it the image is all but black.
        rng: Source of the noise.

    Returns:
        RGB (size, size, 3).
    """
    planes = [_channel(layers, frame, domain, channel) for channel in range(3)]
    window = blurred(fov.astype(np.float32), 0.0015 * frame.diameter)
    image = np.asarray(cv2.merge(planes), np.float32) * window[..., None]
    image += _noise(frame.size, domain, rng) * (0.25 + 0.75 * window[..., None])
    image += np.float32(3.0)
    return np.asarray(cv2.convertScaleAbs(np.clip(image, 0, 255)), np.uint8)


def _channel(layers: list[Layer], frame: Frame, domain: Domain, channel: int) -> Plane:
    total = np.full((frame.size, frame.size), np.log(1.08 * domain.tint[channel]), np.float32)
    for plane, weights in layers:
        total = cv2.scaleAdd(plane, weights[channel], total)
    bright = blurred(cv2.exp(total), domain.blur * frame.diameter)
    if domain.haze:
        veil = np.float32(domain.haze * (0.9 * domain.tint[channel] + 20))
        bright = bright * np.float32(1 - domain.haze) + veil
    return shoulder(np.asarray(bright, np.float32))


def shoulder(bright: Plane) -> Plane:
    """The film's shoulder: from 200 on full white, 255, is approached, not hit."""
    over = bright > 200
    result = bright.copy()
    result[over] = 255 - 55 * np.exp((200 - bright[over]) / 55)
    return result


def _noise(size: int, domain: Domain, rng: np.random.Generator) -> NDArray[np.float32]:
    """Grain: noise of the sensor, most of it common to neighbouring pixels."""
    count = size * size * 3
    # The sum of two bytes: triangular, near enough to normal for grain, and ten times as fast to draw.
    dice = np.frombuffer(rng.bytes(2 * count), np.uint8).astype(np.float32)
    grain = ((dice[:count] + dice[count:] - 255) * np.float32(domain.noise / 104.5)).reshape(size, size, 3)
    return np.asarray(0.46 * grain + 1.45 * blurred(grain, 0.7), np.float32)
