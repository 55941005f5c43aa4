"""From a configuration to its tasks and its network, and from a run folder to the trained one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from medmtl.config import RunConfig
from medmtl.errors import CheckpointError, ConfigError
from medmtl.inference.exclusions import check_exclusions
from medmtl.models import CooperativeNetwork, Encoder, SharedEncoderNetwork, build_encoder
from medmtl.tasks import AnyTask, build_task

Network = SharedEncoderNetwork | CooperativeNetwork


def build_tasks(config: RunConfig) -> tuple[AnyTask, ...]:
    """The tasks of a configuration, in its order.

    Raises:
        ConfigError: A task is not as its type asks, or asks for what the others do not give.
    """
    tasks = tuple(build_task(name, block, seed=config.evaluation.seed) for name, block in config.tasks.items())
    check_exclusions(tasks)
    return tasks


def build_network(config: RunConfig, tasks: Sequence[AnyTask], *, pretrained: bool = True) -> Network:
    """The network of a configuration.

    Args:
        config: The run's configuration.
        tasks: Its tasks.
        pretrained: Load the encoder's weights; false where a checkpoint follows.

    Raises:
        ConfigError: Unknown encoder, or weights that cannot be had.
    """
    weights = config.model.encoder.weights if pretrained else "none"
    if config.model.architecture == "cooperative":
        encoders = {task.name: _encoder(config, weights) for task in tasks}
        heads = {task.name: task.build_head(encoders[task.name]) for task in tasks}
        cooperation = config.model.cooperation
        return CooperativeNetwork(
            encoders, heads, scales=cooperation.scales, form=cooperation.form, lenders=cooperation.lenders
        )
    encoder = _encoder(config, weights)
    return SharedEncoderNetwork(encoder, {task.name: task.build_head(encoder) for task in tasks})


def _encoder(config: RunConfig, weights: str) -> Encoder:
    settings = config.model.encoder
    return build_encoder(
        settings.name, weights, settings.batch_norm_momentum, settings.output_stride, settings.frozen_levels
    )


def load_weights(network: Network, weights: dict[str, torch.Tensor], where: object) -> None:
    """Puts a checkpoint's weights into a network.

    Raises:
        CheckpointError: They belong to another network.
    """
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError):
        remedy = "restore the run's own config.yaml and checkpoints, or train anew with another --out"
        what = "the weights do not fit the run's configuration"
        raise CheckpointError(what, where=where, found=_misfit(network, weights), remedy=remedy) from None


def _misfit(network: Network, weights: Any) -> str:
    """How the weights differ from those that the network has, with the first name of each kind."""
    if not isinstance(weights, Mapping):
        return f"{type(weights).__name__} instead of weights"
    own = network.state_dict()
    shapes = {name: tuple(getattr(value, "shape", ())) for name, value in weights.items()}
    kinds = {
        "missing": [name for name in own if name not in shapes],
        "unknown": [name for name in shapes if name not in own],
        "of another shape": [name for name in own if name in shapes and shapes[name] != tuple(own[name].shape)],
    }
    return ", ".join(f"{len(names)} {kind} ({names[0]})" for kind, names in kinds.items() if names) or "damaged weights"


def choose_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first GPU where there is one.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            "unknown device", where="training.device", found=f"'{name}'", remedy="auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda" and not _cuda_available():
        raise ConfigError(
            "no CUDA device is available here", where="training.device", found=f"'{name}'", remedy="use auto or cpu"
        )
    return device


def _cuda_available() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()
