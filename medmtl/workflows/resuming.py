"""What must be the same where a run goes on, what may differ, and that nobody else works in its folder meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from medmtl.config import RunConfig
from medmtl.errors import RunError
from medmtl.files import made_folder
from medmtl.locks import folder_lock
from medmtl.progress import Progress
from medmtl.run import RunFolder

DATA_FILE = "data.json"
"""What a run folder keeps about the samples that it learns from."""

FREE = ("data.workers", "data.cache", "data.cache_dir")
"""Keys that say how a run is computed and change no bit of it."""

NEAR = ("training.device", "training.threads")
"""Keys that say how a run is computed, and may change the last digits of its sums."""


def check_same_config(run: RunFolder, config: RunConfig, progress: Progress) -> None:
    """Accepts a configuration that a run can go on with; what may change its last digits is said.

    Args:
        run: The run.
        config: The configuration that it is to go on with.
        progress: Where to say what may change.

    Raises:
        RunError: Another key differs from the run's own, with its name and both values.
    """
    own, given = (_flat(item.model_dump(mode="json")) for item in (run.config, config))
    differing = differing_keys(run.config, config)
    others = [key for key in differing if key not in {*FREE, *NEAR}]
    if others:
        key, more = others[0], f" (and {len(others) - 1} more keys)" if len(others) > 1 else ""
        found = f"{key} {given.get(key)!r} instead of {own.get(key)!r}{more}"
        remedy = "resume with the same configuration, or choose another --out"
        raise RunError("the configuration differs from the run's own", where=run.path, found=found, remedy=remedy)
    for key in NEAR:
        if key in differing:
            progress.say(f"{key} is {given[key]!r} and was {own[key]!r}: the result may differ in its last digits")


def differing_keys(one: RunConfig, other: RunConfig) -> list[str]:
    """Dotted keys whose values differ between two configurations."""
    own, given = (_flat(item.model_dump(mode="json")) for item in (one, other))
    return [key for key in dict.fromkeys([*own, *given]) if own.get(key) != given.get(key)]


def check_same_data(path: Path, manifest_hashes: Mapping[str, str]) -> None:
    """Accepts the manifests that a run began with.

    Args:
        path: The run folder.
        manifest_hashes: Content hash by manifest path, as they are now.

    Raises:
        RunError: A manifest changed since.
    """
    try:
        before = json.loads((path / DATA_FILE).read_text(encoding="utf-8"))["manifests"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # killed before it was written: nothing was learned yet
    for manifest, digest in manifest_hashes.items():
        if before.get(manifest) != digest:
            remedy = "restore the manifest, or train anew with another --out"
            raise RunError("the manifest changed since the run began", where=manifest, remedy=remedy)


def _flat(data: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Values by dotted key; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{path}{key}.")
        else:
            flat[f"{path}{key}"] = value
    return flat


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Holds a run folder, made if missing, while the block trains in it.

    Raises:
        RunError: Another process trains in it.
        OutputError: It cannot be made.
    """
    with made_folder(path), ExitStack() as held:
        try:
            held.enter_context(folder_lock(path, wait=False))
        except BlockingIOError:
            what, remedy = "another process is training in this run folder", "wait until it ends, or stop it"
            raise RunError(what, where=path, remedy=remedy) from None
        yield
