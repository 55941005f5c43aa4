"""The demo: synthetic images, one network on three tasks, a report and heat maps, in a few minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from medmtl.config import load_config
from medmtl.data.manifest import Manifest
from medmtl.data.synthetic import write_dataset
from medmtl.errors import RunError
from medmtl.progress import Progress
from medmtl.workflows.evaluating import Evaluated, evaluate
from medmtl.workflows.explaining import explain
from medmtl.workflows.training import train

IMAGES = 180
SIZE = 256
SEED = 7
DOMAIN = "plain"
HEADLINES = {
    "anatomy": ("dice.vessel", "dice.disc"),
    "referable": ("auc.referable",),
    "lesions": ("auc.hard_exudates",),
}


@dataclass(frozen=True)
class Demo:
    """What the demo left: figures as lines, the report and the index of heat maps."""

    lines: tuple[str, ...]
    report: Path
    heatmaps: Path


def run_demo(out: Path, progress: Progress, *, images: int = IMAGES) -> Demo:
    """Runs the demo into a new folder.

    Args:
        out: Folder to make.
        progress: Where to say how far it is.
        images: Number of synthetic images.

    Raises:
        RunError: The folder exists already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError("the folder exists already", where=out, remedy="remove it, or choose another --out")
    progress.say(f"making {images} synthetic fundus images")
    with progress.bar("synthesizing", images) as bar:
        manifest = write_dataset(
            images, SEED, out / "data", size=SIZE, domain=DOMAIN, progress=lambda done, total: bar.advance()
        )
    with resources.as_file(resources.files("medmtl.presets") / "demo.yaml") as preset:
        config = load_config([preset], [f"data.manifests=[{str(manifest)!r}]"])
    run = train(config, out / "run", progress=progress)
    evaluated = evaluate(run.run, manifest, split="test", out=out / "evaluation", progress=progress)
    shown = [sample.image for sample in Manifest.read(manifest).select("test")][:12]
    explained = explain(run.run, shown, out=out / "heatmaps", evaluations=[evaluated.folder], progress=progress)
    lines = [
        *_headlines(evaluated),
        f"trained in {run.minutes:.1f} minutes",
        f"heat maps: {explained.index}",
        f"report: {evaluated.report}",
    ]
    return Demo(tuple(lines), evaluated.report, explained.index)


def _headlines(evaluated: Evaluated) -> list[str]:
    lines = ["on held-out synthetic images:"]
    for task in evaluated.results[0].tasks:
        wanted = HEADLINES.get(task.task, ())
        for metric in task.metrics:
            if metric.name in wanted:
                value = metric.interval
                lines.append(
                    f"  {task.task}: {metric.label} {value.value:.3f} (95 % {value.low:.3f} to {value.high:.3f})"
                )
        lines += [f"  {task.task}: {line}" for line in _against_chance(task.tables)]
    return lines


def _against_chance(tables: object) -> list[str]:
    lines = []
    for table in tables:  # type: ignore[attr-defined]
        if table.name.startswith("lesions.") and "candidates" in table.frame:
            rows = table.frame.set_index("candidates")["at_1"]
            lines.append(
                f"{table.title} at 1 false positive per image: {rows['model']:.2f}, random points {rows['random points']:.2f}"
            )
    return lines
