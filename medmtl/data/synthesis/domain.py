"""What differs between cameras and populations, as one frozen record with named presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medmtl.errors import ConfigError, suggestion

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Domain:
    """A camera and a population, for experiments on domain shift.

    Attributes:
        tint: Median red, green and blue of the retina, 0-255.
        blur: Standard deviation of the optics' blur, as a share of the field's diameter.
        noise: Standard deviation of the sensor's noise, grey levels of 255.
        pigmentation: 0 (even fundus) to 1 (choroidal vessels shine through).
        vignetting: Loss of light at the rim of the field, 0-1.
        unevenness: Amplitude of slow changes of the light across the field, 0-1.
        haze: Share of stray light laid over everything (cataract), 0-1.
        cut: Share of the field's diameter that the sensor cuts off at top and bottom, 0-0.2.
        vessel_contrast: Factor on the vessels' absorption.
        lesion_size: Factor on the diameters of lesions.
        lesion_contrast: Factor on the strength of lesions.
        jitter: How far each image may wander from these values, 0 (not at all) to 1.
    """

    tint: tuple[float, float, float] = (184.0, 80.0, 40.0)
    blur: float = 0.0013
    noise: float = 1.8
    pigmentation: float = 0.35
    vignetting: float = 0.35
    unevenness: float = 0.12
    haze: float = 0.0
    cut: float = 0.0
    vessel_contrast: float = 1.0
    lesion_size: float = 1.0
    lesion_contrast: float = 1.0
    jitter: float = 0.5


DOMAINS: dict[str, Domain] = {
    "standard": Domain(),
    "warm": Domain(tint=(165.0, 82.0, 30.0), pigmentation=0.2, blur=0.0015, cut=0.08),
    "red": Domain(tint=(200.0, 62.0, 38.0), pigmentation=0.7, blur=0.001, noise=1.3, cut=0.12, vessel_contrast=1.1),
    "pale": Domain(tint=(190.0, 108.0, 62.0), pigmentation=0.1, blur=0.0018, noise=2.2, vessel_contrast=0.8),
    "dim": Domain(tint=(118.0, 44.0, 14.0), vignetting=0.5, unevenness=0.2, noise=3.0),
    "hazy": Domain(tint=(175.0, 90.0, 60.0), haze=0.25, blur=0.0028, noise=2.5),
    "plain": Domain(lesion_size=4.5, lesion_contrast=1.8),  # large, distinct lesions: for small images and quick trials
    "varied": Domain(tint=(180.0, 82.0, 42.0), unevenness=0.15, noise=2.2, cut=0.04, jitter=1.0),
}


def resolve(domain: Domain | str) -> Domain:
    """Gives the preset of this name, or the domain itself.

    Raises:
        ConfigError: No preset has this name.
    """
    if isinstance(domain, Domain):
        return domain
    if domain not in DOMAINS:
        raise ConfigError("unknown synthetic domain", found=repr(domain), remedy=suggestion(domain, DOMAINS))
    return DOMAINS[domain]


def draw(domain: Domain, rng: np.random.Generator) -> Domain:
    """Draws the domain of one image: each value wanders as far as `jitter` allows."""
    import numpy as np  # here, because the command line names the presets in its help and must start fast

    z = np.clip(rng.standard_normal(9), -2, 2) * domain.jitter
    exposure, red, green, blue = np.exp(z[:4] * (0.10, 0.06, 0.18, 0.22))
    tint = domain.tint[0] * red, domain.tint[1] * green, domain.tint[2] * green * blue
    return replace(
        domain,
        tint=tuple(float(np.clip(exposure * t, 8, 235)) for t in tint),  # type: ignore[arg-type]
        blur=domain.blur * float(np.exp(0.25 * z[4])),
        noise=domain.noise * float(np.exp(0.25 * z[5])),
        pigmentation=float(np.clip(domain.pigmentation + 0.25 * z[6], 0, 1)),
        vignetting=float(np.clip(domain.vignetting * np.exp(0.3 * z[7]), 0, 0.8)),
        vessel_contrast=domain.vessel_contrast * float(np.exp(0.15 * z[8])),
    )
