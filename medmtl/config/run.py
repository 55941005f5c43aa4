"""The whole of a run: its network, its tasks, its method, and the blocks that they stand beside."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medmtl.blocks import Block, Seed
from medmtl.config.data import DataConfig, ViewConfig
from medmtl.config.training import EvaluationConfig, TrainingConfig
from medmtl.errors import suggestion

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = frozenset({"image", "field", "geometry", "index", "error", "sample", "masks"})
"""Names of a batch's own entries, beside which each task's target lies."""


class EncoderConfig(Block):
    """The shared encoder."""

    name: str = Field(
        "efficientnet-lite0",
        description="Encoder: efficientnet-lite0 ... lite4, efficientnet-b0 ... b7, or bagnet9, 17 or 33 (also with `-small`), whose cells see no more pixels than that.",
    )
    weights: str = Field(
        "imagenet", description="`imagenet`, `none`, or the path of a local weights file; bagnets have no `imagenet`."
    )
    output_stride: Literal[8, 16, 32] = Field(
        32,
        description="Pixels per cell of the deepest level: 16 and 8 by dilation, weights kept (efficientnet-lite); slower.",
    )
    frozen_levels: int = Field(
        0,
        ge=0,
        le=5,
        description="Levels, from the finest, that keep their weights: no backward pass there, which on large images saves most of the time.",
    )
    batch_norm_momentum: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of each batch in the running statistics; the published networks' 0.01 is slow for short runs.",
    )


class CooperationConfig(Block):
    """What the sub-models of a cooperative network show each other."""

    scales: Literal["bottleneck", "all"] = Field(
        "bottleneck", description="Levels of the encoder that are exchanged: the deepest, or every one."
    )
    form: Literal["map", "vector"] = Field(
        "map", description="Features keep their place in the image, or are averaged over it."
    )
    lenders: Literal["trained", "untrained", "random", "shuffled", "none"] = Field(
        "trained",
        description="Whose features are lent; controls: copies of the first weights (`untrained`), copies with `random` weights, those of another image in evaluation (of an image alone in its batch: zeros), or none.",
    )


class ModelConfig(Block):
    """The network: one shared encoder with a head per task, or one sub-model per task."""

    architecture: Literal["shared", "cooperative"] = Field(
        "shared",
        description="`shared`: one encoder, many heads. `cooperative`: a sub-model per task that reads the others' features.",
    )
    start: str | None = Field(
        None,
        description="Checkpoint of a run whose encoder and heads training starts from: each part of the same names and shapes; sub-models each take a shared encoder.",
    )
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    cooperation: CooperationConfig = Field(default_factory=CooperationConfig)


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


class RunConfig(Block):
    """A whole run."""

    name: str = Field("run", description="Name, for titles and tables.")
    seed: Seed = Field(0, description="Seed of weights, order, augmentation and dropout.")
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
            raise ValueError("needs at least one entry; name one")
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name; use letters, digits and underscores, a letter first")
        return value

    @field_validator("tasks")
    @classmethod
    def _not_taken(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_TAKEN.intersection(value))
        if taken:
            raise ValueError(f"a task cannot be named '{taken[0]}': the word is taken; choose another name")
        return value

    @model_validator(mode="after")
    def _selecting_tasks_exist(self) -> RunConfig:
        for name in self.training.select_by:
            if name not in self.tasks:
                hint = suggestion(name, self.tasks)
                raise ValueError(f"training.select_by names the unknown task '{name}'; {hint}")
            if self.training.select_by.count(name) > 1:
                raise ValueError(f"training.select_by names the task '{name}' twice; a task counts once")
        return self

    @model_validator(mode="after")
    def _views_exist(self) -> RunConfig:
        for name, task in self.tasks.items():
            if task.view not in self.views:
                raise ValueError(f"tasks.{name}.view names the view '{task.view}'; {suggestion(task.view, self.views)}")
        return self
