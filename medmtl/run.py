"""A run folder: what it holds, how it is made, opened and recognized."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from medmtl.config import RunConfig, parse_config
from medmtl.errors import ConfigError, RunError
from medmtl.files import is_temporary, write_text

FORMAT = 1
"""Version of the folder's layout; a reader refuses a newer one."""

_RECORD = "run.json"
_CONFIG = "config.yaml"
_PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "pytorch-ignite",
    "torchjd",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
)


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one run.

    Attributes:
        path: The folder.
        config: The resolved configuration.
    """

    path: Path
    config: RunConfig

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunFolder:
        """Makes a new run folder with its configuration and the record of code and environment.

        Raises:
            RunError: The folder exists and is not empty.
        """
        check_free(path)
        run = cls(path, config)
        run.write_record({"format": FORMAT, **_birth_record(config)})
        write_text(path / _CONFIG, dump_config(config))  # last: a folder without it is not yet a run
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens an existing run folder.

        Raises:
            RunError: It is missing, no run folder, or from a newer version.
        """
        if not path.is_dir():
            raise RunError(
                "there is no such run folder", where=path, remedy="give the folder that `medmtl train --out` made"
            )
        record, data = _read(path / _RECORD, json.loads), _read(path / _CONFIG, yaml.safe_load)
        version = record.get("format")
        if not isinstance(version, int):
            raise _no_run(path, f"no format in {_RECORD}")
        if version > FORMAT:
            remedy = f"this version reads up to format {FORMAT}: upgrade medmtl"
            raise RunError(
                "the run was made by a newer version of medmtl", where=path, found=f"format {version}", remedy=remedy
            )
        return cls(path, _own_config(data, path / _CONFIG))

    @property
    def last(self) -> Path:
        """The checkpoint from which training goes on."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint that was best on validation."""
        return self.path / "checkpoints" / "best.pt"

    @property
    def selected(self) -> Path:
        """The checkpoint that evaluation uses."""
        return self.best if self.config.training.select == "best" and self.best.exists() else self.last

    @property
    def log(self) -> Path:
        """The metrics log."""
        return self.path / "log.csv"

    @property
    def probe(self) -> Path:
        """The looks at the tasks' gradients, where the configuration asks for them."""
        return self.path / "probe.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def operating(self) -> Path:
        """Thresholds and color scales that validation chose."""
        return self.path / "operating.json"

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        return dict(json.loads((self.path / _RECORD).read_text(encoding="utf-8")))

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replaces ``run.json``."""
        write_text(self.path / _RECORD, json.dumps(record, indent=2) + "\n")

    def update_record(self, **entries: Any) -> None:
        """Adds entries to ``run.json``."""
        self.write_record({**self.record, **entries})


def check_free(path: Path) -> None:
    """Accepts a place where a run can be made: nothing, an empty folder, or a run that was killed while being made.

    Raises:
        RunError: Something is there already.
    """
    if path.is_dir() and all(_unborn(entry) for entry in path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        remedy = "choose another --out, or go on with --resume"
        raise RunError("the run folder exists already", where=path, remedy=remedy)


def _unborn(entry: Path) -> bool:
    if is_temporary(entry):
        return True
    try:
        return entry.name == _RECORD and "config_hash" in json.loads(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        data = parse(path.read_text(encoding="utf-8"))
    except OSError:
        raise _no_run(path.parent, f"no readable {path.name}") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise _no_run(path.parent, f"a damaged {path.name}") from None
    if not isinstance(data, dict):
        raise _no_run(path.parent, f"a {path.name} that is no block of keys")
    return data


def _no_run(path: Path, found: str) -> RunError:
    remedy = f"a run folder holds {_RECORD} and {_CONFIG} as training wrote them"
    return RunError("this is not a run folder", where=path, found=found, remedy=remedy)


def _own_config(data: Mapping[str, Any], path: Path) -> RunConfig:
    try:
        return parse_config(data)
    except ConfigError as error:
        where = f"{path}: {error.where}" if error.where else path
        raise RunError(error.what, where=where, found=error.found, remedy=error.remedy) from None


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_hash(config: RunConfig) -> str:
    """SHA-256 of the resolved configuration."""
    return hashlib.sha256(dump_config(config).encode()).hexdigest()


def code_version() -> str:
    """The version of medmtl."""
    try:
        return metadata.version("medmtl")
    except metadata.PackageNotFoundError:
        return "unknown"


def environment() -> dict[str, str]:
    """Versions of what a result depends on."""
    versions = {"python": platform.python_version(), "platform": platform.platform(), "medmtl": code_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state() -> str:
    """Commit of the code, with ``+changes`` where it was modified; empty where the code is no checkout."""
    folder = Path(__file__).parent
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if not (Path(top) / "medmtl" / "run.py").samefile(__file__):
            return ""
        changed = _git(folder, "status", "--porcelain", "--", str(folder))
        return _git(folder, "rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()  # noqa: S603  fixed program, own arguments


def _birth_record(config: RunConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        "seed": config.seed,
        "created": now(),
        "code_version": code_version(),
        "git": git_state(),
        "environment": environment(),
        "config_hash": config_hash(config),
        "minutes": None,  # an untrained run is listed among results, too
        "run_hash": "",
        "status": "new",
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
