"""The typed schema of a run: YAML files that compose, ``--set`` on top; data only, nothing in it is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from medmtl.errors import ConfigError, suggestion

M = TypeVar("M", bound=BaseModel)
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")


class Block(BaseModel):
    """A block of the configuration: unknown keys are refused, values are not coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)


class DataConfig(Block):
    """Which samples a run sees."""

    manifests: list[Path] = Field(
        default_factory=list, description="Manifests (CSV or Parquet), relative to the working folder."
    )
    train_split: str = Field("train", description="Split of the manifests that the run learns from.")
    validation_split: str = Field(
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

    name: str | None = Field(None, description="Name of the balancing method; empty = the plain sum of the tasks' losses.")

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
            if not _NAME.match(name):
                raise ValueError(f"'{name}' is no name: letters, digits and underscores, a letter first")
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


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads one YAML mapping; duplicate keys are an error."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else (error.strerror or "cannot be read")
        raise ConfigError(
            f"the configuration cannot be read: {reason}", where=path, remedy="give the path of a YAML file"
        ) from None
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  a SafeLoader that also refuses duplicate keys
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError("not valid YAML", where=where, found=str(getattr(error, "problem", error))) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("the configuration must be a mapping of keys", where=path, found=type(data).__name__)
    return data


def parse_override(text: str) -> dict[str, Any]:
    """Turns ``a.b=value`` (value read as YAML) into ``{"a": {"b": value}}``."""
    key, separator, value = text.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError("--set needs key.path=value", found=f"'{text}'")
    try:
        result: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError("the value of --set is not valid YAML", where=key, found=f"'{value}'") from None
    for part in reversed(key.split(".")):
        result = {part: result}
    return dict(result)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lays one mapping over another, key by key; ``null`` for a task or view removes it."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        elif value is None and isinstance(result.get(key), Mapping):
            del result[key]
        else:
            result[key] = value
    return result


def validate_block(model: type[M], data: Mapping[str, Any], path: str) -> M:
    """Validates a mapping with a pydantic model, and says what is wrong as one line with the key's path.

    Args:
        model: The block's model.
        data: What was read.
        path: Dotted path of the block, empty at the top.

    Raises:
        ConfigError: With path, found value and remedy.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise _first_error(model, error, path) from None


def _first_error(model: type[BaseModel], error: ValidationError, path: str) -> ConfigError:
    details = error.errors()
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    keys = [str(key) for key in first["loc"]]
    where = ".".join([path, *keys] if path else keys) or "configuration"
    if first["type"] == "extra_forbidden":
        return ConfigError(
            "unknown key", where=where, remedy=suggestion(keys[-1], _known_keys(model, first["loc"][:-1]))
        )
    if first["type"] == "missing":
        return ConfigError("a required key is missing", where=where, remedy="add it")
    message = first["msg"].removeprefix("Value error, ")
    found = None if isinstance(first["input"], Mapping) else repr(first["input"])
    return ConfigError(message[:1].lower() + message[1:], where=where, found=found)


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    current: Any = model
    for key in location:
        field = current.model_fields.get(key) if hasattr(current, "model_fields") else None
        current = _inner_model(field.annotation) if field is not None else current
    return list(getattr(current, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_inner_model(argument) for argument in getattr(annotation, "__args__", ())]
    return next((item for item in found if item is not None), None)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
