"""A trained run with the same weights that looks at images, picks candidates or counts otherwise: validation chooses anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medmtl.config import RunConfig, with_overrides
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
    device: str | None = None,
    progress: Progress | None = None,
) -> Recalibrated:
    """Makes a run folder with the weights of another and other ways to look, to pick candidates and to count.

    Thresholds and color scales are chosen anew on the same validation samples; weights, log and the record of the
    training are copied. Nothing is written where something is wrong.

    Args:
        run: A trained run folder.
        out: The run folder to make.
        overrides: ``key.path=value``, for keys that no weight depends on.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        ConfigError: A key that the training depends on, or a value that does not fit.
        RunError: No trained run, a changed manifest, no validation samples, or a folder that exists.
    """
    progress = progress or Progress()
    trained = open_trained(run, device)
    config = with_overrides(trained.folder.config, overrides)
    _check_keys(trained.folder.config, config)
    check_free(Path(out))
    setup = Setup(config)
    check_same_data(trained.folder.path, setup.cohort.manifest_hashes)
    if not setup.cohort.validation:
        remedy = "train it with a validation set (data.validation_fraction)"
        raise RunError("the run has no validation samples to choose on", where=trained.folder.path, remedy=remedy)
    data = view_data(setup, setup.cohort.validation, ("none", None), progress, training=False)
    setup.device = trained.device
    operating = choose_operating(setup.tasks, Validation(setup, trained.network, data, progress).records())
    with atomic_folder(out) as folder:
        digest = _write(folder, trained.folder, config, operating)
    progress.say(f"recalibrated {trained.folder.path}: {out}")
    return Recalibrated(Path(out), digest, operating.thresholds)


def _check_keys(before: RunConfig, after: RunConfig) -> None:
    for key in differing_keys(before, after):
        if key not in FREE and not _AFTER_TRAINING.fullmatch(key):
            what, remedy = "the training depends on this key", "train anew with `medmtl train`"
            raise ConfigError(what, where=f"--set {key}", remedy=remedy)


def _write(folder: Path, source: RunFolder, config: RunConfig, operating: Operating) -> str:
    made = RunFolder.create(folder, config)
    for name in _KEPT:
        if (source.path / name).is_dir():
            shutil.copytree(source.path / name, folder / name)
        elif (source.path / name).exists():
            shutil.copyfile(source.path / name, folder / name)
    save_operating(made, operating)
    before = source.record
    digest = run_hash(config, str(before["weights_sha256"]))
    origin = {
        "run_hash": before["run_hash"],
        "config_hash": config_hash(source.config),
        "git": git_state(),
        "at": now(),
    }
    kept = {key: before[key] for key in _KNOWN if key in before}
    made.update_record(**kept, status="trained", run_hash=digest, recalibrated_from=origin)
    return digest
