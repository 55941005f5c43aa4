"""Lesion contrast and size of synthetic images beside IDRiD's pixel-level part.

    python benchmarks/synthetic_realism.py "IDRiD/A. Segmentation" --out realism.png

Contrast is the mean green of a lesion minus that of the ring round it, as a share of the ring's; size is the diameter of
the circle of the same area as a share of the field's diameter. Both sets are measured by the same code with the field
`--field` pixels wide (default 1024). A lesion is a connected region of the mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medmtl.data.synthetic import LESIONS, synthesize

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDERS = dict(
    zip(
        LESIONS,
        (
            ("1. Microaneurysms", "MA"),
            ("2. Haemorrhages", "HE"),
            ("3. Hard Exudates", "EX"),
            ("4. Soft Exudates", "SE"),
        ),
        strict=True,
    )
)
Measured = dict[str, NDArray[np.float64]]  # class -> (n, 2): contrast, diameter


def idrid(root: Path, field: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]]:
    """Yields the green channel and the masks of each image, the field `field` pixels wide."""
    for path in sorted((root / "1. Original Images" / "a. Training Set").glob("*.jpg")):
        image = cv2.imread(str(path))
        columns = np.flatnonzero((image.max(2) > 20).mean(0) > 0.02)
        scale = field / (columns[-1] - columns[0] + 1)
        masks = {}
        for name, (folder, suffix) in FOLDERS.items():
            file = root / "2. All Segmentation Groundtruths" / "a. Training Set" / folder / f"{path.stem}_{suffix}.tif"
            if file.exists():
                mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
                mask = (mask.reshape(*mask.shape[:2], -1).max(2) > 0).astype(np.uint8) * 255
                masks[name] = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) > 127
        yield cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., 1], masks


def synthetic(number: int, field: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]]:
    """Yields the green channel and the masks of images of grades 2 to 4."""
    for seed in range(number):
        fundus = synthesize(round(field / 0.9625), seed, domain="varied", grade=2 + seed % 3)
        yield fundus.image[..., 1], dict(fundus.lesions)


def measure(green: NDArray[np.uint8], mask: NDArray[np.bool_], field: int) -> list[tuple[float, float]]:
    """Contrast and diameter of each lesion."""
    labels, _ = ndimage.label(mask)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    found = []
    for index, where in enumerate(ndimage.find_objects(labels), 1):
        window = tuple(slice(max(0, s.start - 8), s.stop + 8) for s in where)
        lesion = labels[window] == index
        ring = (cv2.dilate(lesion.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0) & ~near[window]
        if lesion.sum() >= 3 and ring.sum() >= 8:
            around = max(float(green[window][ring].mean()), 1.0)
            contrast = (float(green[window][lesion].mean()) - around) / around
            found.append((contrast, 2 * np.sqrt(lesion.sum() / np.pi) / field))
    return found


def collect(images: Iterator[tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]], field: int) -> Measured:
    """Measures all lesions of a set."""
    lists: dict[str, list[tuple[float, float]]] = {name: [] for name in LESIONS}
    for green, masks in images:
        for name, mask in masks.items():
            lists[name] += measure(green, mask, field)
    return {name: np.array(values).reshape(-1, 2) for name, values in lists.items()}


def plot(sets: dict[str, Measured], out: Path) -> None:
    """One column a class: contrast above, diameter below."""
    figure, axes = plt.subplots(2, len(LESIONS), figsize=(16, 6.5))
    for column, name in enumerate(LESIONS):
        for row, (label, log) in enumerate((("contrast in green", False), ("diameter / field", True))):
            axis, every = axes[row, column], np.concatenate([s[name][:, row] for s in sets.values()])
            low, high = np.quantile(every, [0.005, 0.995])
            bins = np.geomspace(low, high, 40) if log else np.linspace(low, high, 40)
            for source, measured in sets.items():
                axis.hist(measured[name][:, row], bins, density=True, histtype="step", label=source)
            axis.set(title=name if row == 0 else "", xlabel=label, xscale="log" if log else "linear")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(out, dpi=100)


def main() -> None:
    """Prints the medians with the middle half, and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idrid", type=Path, help="IDRiD's folder 'A. Segmentation'")
    parser.add_argument("--out", type=Path, default=Path("synthetic_realism.png"))
    parser.add_argument("--number", type=int, default=60, help="synthetic images")
    parser.add_argument("--field", type=int, default=1024, help="width of the field, pixels")
    given = parser.parse_args()
    sets = {
        "synthetic": collect(synthetic(given.number, given.field), given.field),
        "IDRiD": collect(idrid(given.idrid, given.field), given.field),
    }
    print(f"{'class':16} {'set':10} {'n':>6}  contrast: median (25-75 %)   diameter/field: median (25-75 %)")
    for name in LESIONS:
        for source, measured in sets.items():
            (a, d), (b, e), (c, f) = np.quantile(measured[name], [0.25, 0.5, 0.75], axis=0)
            row = f"{b:+.3f} ({a:+.3f} to {c:+.3f})      {e:.4f} ({d:.4f} to {f:.4f})"
            print(f"{name:16} {source:10} {len(measured[name]):6}  {row}")
    plot(sets, given.out)


if __name__ == "__main__":
    main()
