"""A run's trained network, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medmtl.data.masks import given_field
from medmtl.errors import CheckpointError, ConfigError, RunError
from medmtl.geometry import restore_view
from medmtl.inference.network import Network, build_network, build_tasks, choose_device, load_weights
from medmtl.inference.predict import Predicted
from medmtl.randomness import derive_seed, seed_torch
from medmtl.run import RunFolder
from medmtl.tasks import AnyTask
from medmtl.training.checkpoint import load_checkpoint, weights_hash


@dataclass(frozen=True)
class TrainedRun:
    """A run's network, ready to predict."""

    folder: RunFolder
    tasks: tuple[AnyTask, ...]
    network: Network
    device: Any


def open_trained(path: str | Path, device: str | None = None) -> TrainedRun:
    """Opens a run and loads the checkpoint that validation selected.

    Raises:
        RunError: No run folder, or one whose training has not ended.
        CheckpointError: The checkpoint is missing or damaged, or holds other weights than the run ended with.
    """
    folder = RunFolder.open(Path(path))
    _check_ended(folder)
    tasks = build_tasks(folder.config)
    network = build_network(folder.config, tasks, pretrained=False)
    load_weights(network, load_checkpoint(folder.selected)["network"], folder.selected)
    _check_weights(folder, network)
    chosen = choose_device(device or folder.config.training.device)
    return TrainedRun(folder, tasks, network.to(chosen).eval(), chosen)


def untrained_network(trained: TrainedRun) -> Network:
    """The run's network as it was before the first update; without the encoder's weights where these are not at hand."""
    with torch.random.fork_rng(devices=[]):
        seed_torch(derive_seed(trained.folder.config.seed, "weights"))
        try:
            network = build_network(trained.folder.config, trained.tasks)
        except ConfigError:
            network = build_network(trained.folder.config, trained.tasks, pretrained=False)
    return network.to(trained.device).eval()


def _check_ended(folder: RunFolder) -> None:
    status = folder.record.get("status")
    if status == "trained":
        return
    begun = folder.last.exists()
    what = "the training of the run was interrupted" if begun else "the run was not trained yet: it has no checkpoint"
    resume = " --resume" if begun else ""
    remedy = f"finish it: medmtl train CONFIG... --out {folder.path}{resume}"
    raise RunError(what, where=folder.path, found=None if status is None else f"status '{status}'", remedy=remedy)


def _check_weights(folder: RunFolder, network: Network) -> None:
    """Refuses weights that are not those of the record, as where a lost best.pt would be replaced by last.pt."""
    recorded = folder.record.get("weights_sha256")
    if recorded is None:
        return
    held = weights_hash(network.state_dict())
    if held != recorded:
        found = f"SHA-256 {held[:12]} in {folder.selected.name} instead of {str(recorded)[:12]}"
        remedy = "copy the folder `checkpoints` of the run again, as training left it"
        raise CheckpointError(
            "these are not the weights that the run ended with", where=folder.path, found=found, remedy=remedy
        )


def original_field(item: Predicted) -> npt.NDArray[np.bool_]:
    """The field of view in original pixels: as the manifest gives it, or as it was found, interpolated from the view."""
    given = given_field(item.sample, (item.geometry.height, item.geometry.width))
    if given is not None:
        return given
    return restore_view(item.field.astype(np.float32), item.geometry) >= 0.5
