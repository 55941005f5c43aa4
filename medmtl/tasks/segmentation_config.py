"""The keys of a segmentation task, and the mask layers that they ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medmtl.config import Block
from medmtl.data.targets import MaskLayer, MaskTarget
from medmtl.errors import ConfigError
from medmtl.tasks.base import TaskConfig
from medmtl.tasks.inference_config import InferenceConfig

Value = Annotated[int, Field(ge=0, le=255)]
"""A value of a mask's pixels."""

Width = Annotated[int, Field(ge=1, le=4096)]
"""Channels of a layer."""


class LayerConfig(Block):
    """Where one class is read from."""

    column: str | None = Field(
        None, description="Mask column without `mask:`; default: the task's `column`, or TASK.CLASS."
    )
    values: list[Value] = Field(
        default_factory=list, description="Pixel values of the class; empty = any value above zero."
    )


class SegmentationConfig(TaskConfig):
    """Keys of a segmentation task."""

    classes: dict[str, LayerConfig] = Field(description="Foreground classes: name → column and pixel values.")
    column: str | None = Field(None, description="Mask column that all classes are read from.")
    exclusive: bool = Field(
        False, description="Classes exclude each other (softmax with a background) or not (sigmoid each)."
    )
    ignore: list[Value] = Field(
        default_factory=list, description="Pixel values that say nothing, such as crossing or uncertain."
    )
    known: list[Value] = Field(
        default_factory=list,
        description="All values a mask may hold; empty = those of the classes, `ignore` and 0 where classes state values.",
    )
    loss: Literal["dice_ce", "dice", "ce"] = Field("dice_ce", description="Dice, cross-entropy, or half of each.")
    decoder_channels: list[Width] = Field(
        [128, 64, 32, 24, 16],
        min_length=5,
        max_length=5,
        description="Channels of the decoder's levels, from deep to shallow.",
    )
    output_stride: Literal[1, 2, 4] = Field(
        1,
        description="Pixels of the view per pixel that the decoder computes; the rest is interpolated (faster, coarser).",
    )
    prior: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Probability of a class that the untrained head gives, near its share of the pixels; not for `exclusive`.",
    )
    inference: InferenceConfig = Field(default_factory=InferenceConfig)


def mask_target(name: str, config: SegmentationConfig) -> MaskTarget:
    """The mask layers of a task.

    Args:
        name: The task.
        config: Its keys.

    Raises:
        ConfigError: There is no class, or a pixel value means two things.
    """
    if not config.classes:
        remedy = "name them: classes: {vessel: {column: vessels}}"
        raise ConfigError("a segmentation needs at least one class", where=f"tasks.{name}.classes", remedy=remedy)
    layers = tuple(
        MaskLayer(label, layer.column or config.column or f"{name}.{label}", tuple(layer.values))
        for label, layer in config.classes.items()
    )
    _check_values(layers, config, f"tasks.{name}.classes")
    return MaskTarget(name, layers, _known(config), tuple(config.ignore))


def _check_values(layers: tuple[MaskLayer, ...], config: SegmentationConfig, where: str) -> None:
    seen: dict[tuple[str, int], str] = {}
    for layer in layers:
        for value in layer.values:
            if value in config.ignore:
                what = f"the value {value} is of class '{layer.name}' and in `ignore`"
                raise ConfigError(what, where=where, remedy="take it out of one of them")
            other = seen.setdefault((layer.column, value), layer.name)
            if config.exclusive and other != layer.name:
                raise ConfigError(
                    f"classes that exclude each other share the value {value}",
                    where=where,
                    found=f"'{other}' and '{layer.name}'",
                    remedy="give it to one of them, or set exclusive: false",
                )


def _known(config: SegmentationConfig) -> tuple[int, ...]:
    values = {value for layer in config.classes.values() for value in layer.values} | set(config.ignore)
    if config.known:
        return tuple(sorted(values.union(config.known)))
    every_class_states_values = all(layer.values for layer in config.classes.values())
    return tuple(sorted(values | {0})) if every_class_states_values else ()
