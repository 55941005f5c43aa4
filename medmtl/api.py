"""The calls of the command line in Python: :func:`train`, :func:`evaluate`, :func:`explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmtl.config import RunConfig, load_config, parse_config
from medmtl.progress import Progress
from medmtl.workflows.evaluating import Evaluated
from medmtl.workflows.evaluating import evaluate as _evaluate
from medmtl.workflows.explaining import Explained
from medmtl.workflows.explaining import explain as _explain
from medmtl.workflows.training import TrainResult
from medmtl.workflows.training import train as _train

__all__ = ["Evaluated", "Explained", "TrainResult", "evaluate", "explain", "train"]


def train(
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path],
    out: str | Path = "run",
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Trains a run.

    Args:
        config: A configuration, a mapping, or one or more YAML files, later ones over earlier ones.
        out: The run folder to make, or, with ``resume``, to go on with.
        overrides: ``key.path=value`` on top of files.
        resume: Go on from the last checkpoint.
        quiet: Say nothing.

    Returns:
        Where the run is, and how it went.

    Raises:
        MedmtlError: What is wrong with configuration, data or run folder.
    """
    return _train(_resolve(config, overrides), out, resume=resume, progress=Progress(quiet=quiet))


def evaluate(
    run: str | Path,
    manifest: str | Path,
    *,
    split: str | None = "test",
    out: str | Path | None = None,
    quiet: bool = False,
    **options: Any,
) -> Evaluated:
    """Evaluates a run on a split of a manifest; see :func:`medmtl.workflows.evaluating.evaluate`.

    Returns:
        Typed results per data set, and the report.
    """
    return _evaluate(run, manifest, split=split, out=out, progress=Progress(quiet=quiet), **options)


def explain(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path = "heatmaps",
    quiet: bool = False,
    **options: Any,
) -> Explained:
    """Makes heat maps of images or folders; see :func:`medmtl.workflows.explaining.explain`.

    Returns:
        The index page and a table of candidates.
    """
    paths = [images] if isinstance(images, str | Path) else list(images)
    return _explain(run, paths, out=out, progress=Progress(quiet=quiet), **options)


def _resolve(
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path], overrides: Sequence[str]
) -> RunConfig:
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return parse_config(config)
    paths = [config] if isinstance(config, str | Path) else list(config)
    return load_config([Path(path) for path in paths], overrides)
