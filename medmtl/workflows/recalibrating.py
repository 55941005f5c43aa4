"""A trained run with the same weights that looks at images, picks candidates or counts otherwise: thresholds are chosen anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medmtl.config import RunConfig, with_overrides
from medmtl.data.checks import check_files
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, RunError
from medmtl.files import atomic_folder
from medmtl.progress import Progress
from medmtl.run import RunFolder, check_free, config_hash, git_state, now
from medmtl.workflows.operating import Operating, choose_operating, save_operating
from medmtl.workflows.resuming import DATA_FILE, FREE, check_same_data, differing_keys
from medmtl.workflows.setup import Setup, view_data
from medmtl.workflows.trained import open_trained
from medmtl.workflows.training import run_hash
from medmtl.workflows.validation import Validation

_AFTER_TRAINING = re.compile(
    r"name|evaluation\..*|data\.(cache|cache_dir|workers)|training\.(compile|device|threads)"
    r"|tasks\.[^.]+\.(inference|candidates|tolerances|lesions|readings)(\..*)?"
)
"""Keys that no update of the weights depends on."""

_KEPT = ("checkpoints", "tensorboard", "log.csv", "probe.csv", DATA_FILE)
_KNOWN = ("minutes", "processor_minutes", "steps", "best_epoch", "finished", "weights_sha256", "git", "code_version")


@dataclass(frozen=True)
class Recalibrated:
    """What a recalibration left.

    Attributes:
        run: The new run folder.
        run_hash: Hash of its configuration and the weights.
        thresholds: What validation chose now, by task and class.
    """

    run: Path
    run_hash: str
    thresholds: dict[str, dict[str, float]]


def recalibrate(
    run: str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    manifest: str | Path | None = None,
    split: str | None = "train",
    device: str | None = None,
    progress: Progress | None = None,
) -> Recalibrated:
    """Makes a run folder with the weights of another and other ways to look, to pick candidates and to count.

    Thresholds and color scales are chosen anew, on the same validation samples or on those that are named; weights, log
    and the record of the training are copied. Nothing is written where something is wrong.

    Args:
        run: A trained run folder.
        out: The run folder to make.
        overrides: ``key.path=value``, for keys that no weight depends on.
        manifest: Manifest of other samples to choose on; None: the run's validation samples.
        split: Their split, never that of the test; None: all rows, where none is a test's.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        ConfigError: A key that the training depends on, a value that does not fit, test samples to choose on, or the name
            of the run that chose on others.
        RunError: No trained run, a changed manifest, no samples with labels, or a folder that exists.
    """
    progress = progress or Progress()
    trained = open_trained(run, device)
    config = with_overrides(trained.folder.config, overrides)
    _check_keys(trained.folder.config, config)
    check_free(Path(out))
    setup = Setup(config)
    check_same_data(trained.folder.path, setup.cohort.manifest_hashes)
    chosen = (
        _validation(setup) if manifest is None else _named(setup, Path(manifest), split, trained.folder.config.name)
    )
    data = view_data(setup, chosen.samples, ("none", None), progress, training=False)
    setup.device = trained.device
    records = Validation(setup, trained.network, data, progress).records()
    operating = choose_operating(setup.tasks, records, chosen.place)
    with atomic_folder(out) as folder:
        digest = _write(folder, trained.folder, config, operating, chosen)
    progress.say(f"recalibrated {trained.folder.path}: {out}")
    return Recalibrated(Path(out), digest, operating.thresholds)


@dataclass(frozen=True)
class _Chosen:
    """The samples that thresholds are chosen on.

    Attributes:
        samples: They themselves.
        place: What they are called.
        record: What the run keeps of them; empty for its own validation samples.
    """

    samples: Sequence[Sample]
    place: str = "validation"
    record: dict[str, Any] = field(default_factory=dict)


def _validation(setup: Setup) -> _Chosen:
    if not setup.cohort.validation:
        remedy = "train it with a validation set (data.validation_fraction), or name samples by --manifest"
        raise RunError("the run has no validation samples to choose on", where="data", remedy=remedy)
    return _Chosen(setup.cohort.validation)


def _named(setup: Setup, path: Path, split: str | None, name: str) -> _Chosen:
    """The samples of a manifest, none of them of a test."""
    if setup.config.name == name:
        # Results are put together by name: other thresholds under the same name would pass for another seed.
        remedy = "give it a name of its own: --set name=NAME"
        raise ConfigError(
            "a run that chose on other samples needs another name", where="name", found=name, remedy=remedy
        )
    table = Manifest.read(path)
    samples = table.select(split)
    if any(sample.split == "test" for sample in samples):
        remedy = "choose on training or validation samples: --split train"
        raise ConfigError(
            "thresholds are never chosen on test samples", where=path, found=split or "all", remedy=remedy
        )
    if not any(task.target.labelled(sample) for task in setup.tasks for sample in samples):
        columns = ", ".join(dict.fromkeys(column for task in setup.tasks for column in task.target.columns))
        remedy = f"its tasks read {columns}; choose --split among those of the manifest"
        found = f"{len(samples)} samples of split {split or 'all'}"
        raise RunError("no sample to choose on says anything of a task", where=path, found=found, remedy=remedy)
    check_files(samples, [target for task in setup.tasks for target in (task.target, *task.aids)])
    said = {"manifest": path.name, "hash": table.content_hash, "split": split or "all", "samples": len(samples)}
    return _Chosen(samples, f"{path.name}, {split or 'all'}", said)


def _check_keys(before: RunConfig, after: RunConfig) -> None:
    for key in differing_keys(before, after):
        if key not in FREE and not _AFTER_TRAINING.fullmatch(key):
            what, remedy = "the training depends on this key", "train anew with `medmtl train`"
            raise ConfigError(what, where=f"--set {key}", remedy=remedy)


def _write(folder: Path, source: RunFolder, config: RunConfig, operating: Operating, chosen: _Chosen) -> str:
    made = RunFolder.create(folder, config)
    for name in _KEPT:
        if (source.path / name).is_dir():
            shutil.copytree(source.path / name, folder / name)
        elif (source.path / name).exists():
            shutil.copyfile(source.path / name, folder / name)
    save_operating(made, operating)
    before = source.record
    digest = run_hash(config, str(before["weights_sha256"]) + str(chosen.record.get("hash", "")))
    origin = {
        "run_hash": before["run_hash"],
        "config_hash": config_hash(source.config),
        "git": git_state(),
        "at": now(),
    }
    kept = {key: before[key] for key in _KNOWN if key in before}
    told = {"thresholds_chosen_on": chosen.record} if chosen.record else {}
    made.update_record(**kept, **told, status="trained", run_hash=digest, recalibrated_from=origin)
    return digest
