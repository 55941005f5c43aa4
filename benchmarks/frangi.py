"""The floor of vessel segmentation: Frangi's filter on the green channel, Otsu's threshold, nothing learned.

    python benchmarks/frangi.py manifests/drive_av.csv --split test --out runs/frangi-drive

Writes a folder that `medmtl results` reads beside trained runs. Dice is per image, on the pixels of the files as given,
inside the field of view, crossings counted as vessel, over all images of the split.
"""

from __future__ import annotations

import argparse
import json
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from scipy import ndimage
from skimage.filters import frangi, threshold_otsu

from medmtl.data.field import bounding_box
from medmtl.data.manifest import Manifest
from medmtl.data.reading import read_image
from medmtl.data.samples import Sample
from medmtl.data.targets import MaskLayer, MaskTarget
from medmtl.data.transforms import read_field, sample_masks
from medmtl.errors import EvaluationError
from medmtl.evaluation import EvaluationResult, PixelCounts, TaskResult, channel_counts, segmentation_findings
from medmtl.files import write_text
from medmtl.progress import Progress
from medmtl.reporting.artifacts import write_metrics
from medmtl.run import code_version, git_state, now
from medmtl.workflows.ledger import Look, recorded_look

NAME = "frangi-otsu"
WIDTHS = (0.0015, 0.0022, 0.0033, 0.005)
"""Standard deviations of the filter, as shares of the field's width."""


def vessels(image: npt.NDArray[np.float32], field: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Vessels of one image (H, W, 3) inside its field of view (H, W)."""
    _, left, _, right = bounding_box(field)
    green = np.where(field, image[..., 1], image[..., 1][field].mean())
    response = frangi(green, sigmas=[share * (right - left) for share in WIDTHS], black_ridges=True)
    inner = ndimage.binary_erosion(field, iterations=max(2, round(0.01 * (right - left))))
    strength = np.sqrt(np.where(inner, response, 0))  # Otsu needs two humps; the response itself is too skewed
    return np.asarray((strength > threshold_otsu(strength[inner])) & inner)


def counts(sample: Sample, target: MaskTarget) -> PixelCounts:
    """Pixel counts of one sample."""
    image, _ = read_image(sample.image)
    field = read_field(sample, image)
    truth = target.encode(sample_masks(sample, target, image.shape[:2]), image.shape[:2])
    return channel_counts(truth, vessels(image, field.mask)[None], field.mask)


def measured(manifest: Manifest, split: str, column: str) -> TaskResult:
    """Figures of the filter on a split.

    Raises:
        EvaluationError: No row of the split has a mask in the column.
    """
    samples = [sample for sample in manifest.select(split) if column in sample.masks]
    if not samples:
        raise EvaluationError("no sample has this mask", where=manifest.path, found=f"mask:{column}, split {split}")
    target = MaskTarget("vessels", (MaskLayer("vessel", column),))
    images = [counts(sample, target) for sample in Progress().track(samples, "Frangi", len(samples))]
    patients = ["/".join(sample.person) for sample in samples]
    findings = segmentation_findings(images, ("vessel",), groups=patients, name="vessels", skip=())
    return TaskResult.of("vessels", "segmentation", samples[0].dataset, findings)


def write_results(out: Path, ledger: Path, manifest: Manifest, split: str, task: TaskResult, minutes: float) -> None:
    """Writes a folder like that of a run, and the look into the ledger."""
    settings = {"name": NAME, "seed": 0, "widths": list(WIDTHS)}
    digest = sha256(yaml.safe_dump(settings).encode()).hexdigest()[:12]
    record = {"format": 1, "name": NAME, "seed": 0, "code_version": code_version(), "git": git_state()}
    record |= {"minutes": minutes, "created": now(), "run_hash": digest}
    name, samples = manifest.path.name, task.labelled
    look = Look(NAME, digest, 0, name, manifest.content_hash, split, samples, git_state() or code_version())
    with recorded_look(ledger, look) as row:
        result = EvaluationResult(
            NAME, digest, name, manifest.content_hash, split, now(), samples, (task,), ledger_row=row
        )
        write_text(out / "config.yaml", yaml.safe_dump(settings))
        write_text(out / "run.json", json.dumps(record, indent=2))
        write_metrics(out / "evaluation" / f"{manifest.path.stem}-{split}", [result])


def main() -> None:
    """Evaluates the filter on a manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--column", default="vessels", help="mask column; any value above zero is vessel")
    parser.add_argument("--ledger", type=Path, help="CSV of looks at test data; default: ledger.csv in --out")
    given = parser.parse_args()
    start = time.perf_counter()
    manifest = Manifest.read(given.manifest)
    task = measured(manifest, given.split, given.column)
    minutes = (time.perf_counter() - start) / 60
    write_results(given.out, given.ledger or given.out / "ledger.csv", manifest, given.split, task, minutes)
    dice = task.metrics[0].interval
    print(f"{task.dataset} {given.split}: Dice {dice.value:.3f} ({dice.low:.3f} to {dice.high:.3f})")


if __name__ == "__main__":
    main()
