"""The typed schema of a run: YAML files that compose, ``--set`` on top; data only, nothing in it is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medmtl.blocks import Block, validate_block
from medmtl.errors import ConfigError, suggestion
from medmtl.yamlfile import merge, parse_override, read_yaml

__all__ = [
    "AugmentConfig", "Block", "DataConfig", "EncoderConfig", "EvaluationConfig", "MethodBlock", "ModelConfig",
    "RunConfig", "TaskBlock", "TrainingConfig", "ViewConfig", "load_config", "merge", "parse_config", "parse_override",
    "read_yaml", "validate_block",
]  # fmt: skip

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_TAKEN = frozenset({"image", "field", "geometry", "index", "error", "sample", "masks"})
"""Names of a batch's own entries, beside which each task's target lies."""


class DataConfig(Block):
    """Which samples a run sees."""

    manifests: list[Path] = Field(
        default_factory=list, description="Manifests (CSV or Parquet), relative to the working folder."
    )
    train_split: Literal["train", "val", "test"] = Field(
        "train", description="Split of the manifests that the run learns from."
    )
    validation_split: Literal["train", "val"] = Field(
        "val", description="Split that selects; made from the training split where no row names it."
    )
    validation_fraction: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the training patients held out where no row is in the validation split; 0 = none.",
    )
    validation_seed: int = Field(
        0, description="Seed of that split, apart from the run's seed so that seeds share one validation set."
    )
    exclude_patients: list[str] = Field(
        default_factory=list, description="Patients kept out of training and validation."
    )
    cache: Literal["none", "disk", "memory"] = Field(
        "memory", description="Where decoded, cropped and resized samples are kept."
    )
    cache_dir: Path | None = Field(None, description="Folder of the disk cache; default: `cache` in the run folder.")
    workers: int = Field(2, ge=0, le=64, description="Loader processes.")


class AugmentConfig(Block):
    """Random changes of training images."""

    flip: bool = Field(True, description="Mirror left-right and up-down, each with probability 1/2.")
    quarter_turns: bool = Field(True, description="Turn by 0, 90, 180 or 270 degrees.")
    rotate: float = Field(0.0, ge=0, le=180, description="Largest rotation, in degrees.")
    zoom: float = Field(0.0, ge=0, lt=1, description="Largest relative change of scale.")
    brightness: float = Field(0.1, ge=0, lt=1, description="Largest relative change of brightness.")
    contrast: float = Field(0.1, ge=0, lt=1, description="Largest relative change of contrast.")
    color: float = Field(0.05, ge=0, lt=1, description="Largest relative change of a single channel.")


class ViewConfig(Block):
    """How an image is shown to the network: the whole field of view, or patches of it."""

    size: int = Field(512, ge=32, le=8192, description="Side of the square field of view, in network pixels.")
    patch: int | None = Field(
        None,
        ge=32,
        description="Side of random training patches of the view; empty = the whole view. Evaluation always sees the whole view.",
    )
    patches_per_image: int = Field(1, ge=1, le=64, description="Patches taken from an image in an epoch.")
    batch_size: int = Field(8, ge=1, description="Images (or patches) in a batch.")
    crop: Literal["field", "none"] = Field("field", description="Crop to the field of view, or take the whole image.")
    contrast: Literal["none", "local"] = Field(
        "none", description="Local contrast normalization (subtract and divide by a Gaussian neighbourhood)."
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig)

    @model_validator(mode="after")
    def _patch_fits(self) -> ViewConfig:
        if self.patch is not None and self.patch > self.size:
            raise ValueError(f"patch ({self.patch}) is larger than the view's size ({self.size})")
        if self.patch is None and self.patches_per_image > 1:
            raise ValueError(f"patches_per_image is {self.patches_per_image}, but there is no patch; state its side")
        return self


class EncoderConfig(Block):
    """The shared encoder."""

    name: str = Field("efficientnet-lite0", description="Encoder: efficientnet-lite0, efficientnet-b0 ... b7.")
    weights: str = Field("imagenet", description="`imagenet`, `none`, or the path of a local weights file.")
    batch_norm_momentum: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of each batch in the running statistics; the published networks' 0.01 is slow for short runs.",
    )


class ModelConfig(Block):
    """The network: one shared encoder with a head per task, or one sub-model per task."""

    architecture: Literal["shared", "cooperative"] = Field(
        "shared",
        description="`shared`: one encoder, many heads. `cooperative`: a sub-model per task that reads the others' features.",
    )
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)


class TaskBlock(BaseModel):
    """What every task states; the keys of its type are validated by the task itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="segmentation, classification or localization.")
    view: str = Field("field", description="Name of the view that the task is trained on.")


class MethodBlock(BaseModel):
    """The balancing method and its arguments; the arguments are validated by the method itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str | None = Field(
        None, description="Name of the balancing method; empty = the plain sum of the tasks' losses."
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """The method's own arguments."""
        return dict(self.__pydantic_extra__ or {})


class TrainingConfig(Block):
    """How long and how fast a run learns."""

    epochs: int = Field(20, ge=1, description="Epochs; an epoch shows every training sample of the largest view once.")
    lr: float = Field(5e-4, gt=0, le=10, description="Peak learning rate (AdamW).")
    head_lr_factor: float = Field(3.0, gt=0, description="Learning rate of heads and decoders, as a multiple of `lr`.")
    weight_decay: float = Field(
        1e-4, ge=0, description="Decoupled weight decay; not applied to biases and norm layers."
    )
    warmup: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the steps with a linearly rising learning rate; a cosine to zero follows.",
    )
    clip_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient.")
    accumulation: int = Field(1, ge=1, description="Micro-batches in one update.")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="`bf16` computes forward passes under bf16 autocast."
    )
    compile: bool = Field(False, description="Compile the network with torch.compile (needs a C++ compiler on CPU).")
    channels_last: bool = Field(
        True, description="Keep images and weights in channels-last memory order (faster on CPU and on recent GPUs)."
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, ...")
    threads: int | None = Field(None, ge=1, description="CPU threads of torch; empty = torch's own choice.")
    validate_every: int = Field(1, ge=1, description="Epochs between two validations.")
    patience: int | None = Field(
        None, ge=1, description="Validations without a gain after which training stops; empty = never."
    )
    select: Literal["best", "last"] = Field(
        "best",
        description="Checkpoint that evaluation uses: best on validation, or the last (a refit without validation).",
    )
    checkpoint_every: int = Field(
        200, ge=1, description="Steps between two checkpoints, besides the one at every epoch's end."
    )

    @field_validator("device")
    @classmethod
    def _device_name(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError("must be auto, cpu, cuda or cuda:N")
        return value


class EvaluationConfig(Block):
    """How results are computed."""

    bootstrap: int = Field(2000, ge=100, description="Bootstrap samples of an interval, over patients.")
    seed: int = Field(0, description="Seed of the bootstrap and of random sanity rows.")


class RunConfig(Block):
    """A whole run."""

    name: str = Field("run", description="Name, for titles and tables.")
    seed: int = Field(0, ge=0, description="Seed of weights, order, augmentation and dropout.")
    data: DataConfig = Field(default_factory=DataConfig)
    views: dict[str, ViewConfig] = Field(
        default_factory=lambda: {"field": ViewConfig()},
        description="Named views; a task names the one it is trained on.",
    )
    model: ModelConfig = Field(default_factory=ModelConfig)
    tasks: dict[str, TaskBlock] = Field(
        description="Tasks by name, each with its `type`, its `view` and the keys of its type."
    )
    method: MethodBlock = Field(default_factory=MethodBlock)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)

    @field_validator("tasks", "views")
    @classmethod
    def _named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("needs at least one entry")
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name: letters, digits and underscores, a letter first")
        return value

    @field_validator("tasks")
    @classmethod
    def _not_taken(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_TAKEN.intersection(value))
        if taken:
            raise ValueError(f"a task cannot be named '{taken[0]}': the word is taken; choose another name")
        return value

    @model_validator(mode="after")
    def _views_exist(self) -> RunConfig:
        for name, task in self.tasks.items():
            if task.view not in self.views:
                raise ValueError(f"tasks.{name}.view names the view '{task.view}'; {suggestion(task.view, self.views)}")
        return self


def load_config(paths: Sequence[Path], overrides: Iterable[str] = ()) -> RunConfig:
    """Reads YAML files, later ones over earlier ones, then ``key.path=value`` overrides.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, or a value does not fit.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, read_yaml(path))
    for text in overrides:
        merged = merge(merged, parse_override(text))
    if not merged:
        raise ConfigError("the configuration is empty", where=", ".join(map(str, paths)) or None)
    return parse_config(merged)


def parse_config(data: Mapping[str, Any]) -> RunConfig:
    """Validates a mapping as a run's configuration."""
    return validate_block(RunConfig, data, "")
