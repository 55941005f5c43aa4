"""The keys of a localization task: classes and where their labels and lesions stand, maps, candidates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from medmtl.config import Block
from medmtl.data.targets import LabelClass
from medmtl.tasks.base import TaskConfig
from medmtl.tasks.inference_config import MapInferenceConfig
from medmtl.tasks.labels import LabelConfig, positive_texts
from medmtl.tasks.localization_candidates import CandidateConfig
from medmtl.tasks.localization_losses import MaskLossConfig, SparsityConfig

Tolerance = Annotated[float, Field(ge=0, le=1000)]
"""Pixels of the original image."""


class LesionConfig(Block):
    """Truth of one lesion class, used for evaluation only."""

    columns: list[str] = Field(
        default_factory=list, description="Mask columns whose union is the lesion; default: TASK.LESION."
    )
    maps: list[str] = Field(
        default_factory=list,
        description="Classes whose maps are scored against it; default: the class of the same name.",
    )


class ReadingConfig(Block):
    """One more image-level label that a class's score is held against, for evaluation only."""

    map: str = Field(description="The class whose score is read.")
    column: str = Field(description="Label column without `label:`.")
    positive: list[str | int] = Field(default_factory=list, description="Cell texts that mean present; default 1.")

    @property
    def label(self) -> LabelClass:
        """Where the label is read."""
        return LabelClass(f"{self.map}~{self.column}", self.column, positive_texts(self.positive))


class LocalizationConfig(TaskConfig):
    """Keys of a localization task."""

    classes: list[str] | dict[str, LabelConfig] = Field(
        description="Classes: class → label column and positive texts; default column TASK.CLASS."
    )
    lesions: dict[str, LesionConfig] = Field(
        default_factory=dict, description="Lesion truth by name; default: every class, from mask column TASK.CLASS."
    )
    readings: list[ReadingConfig] = Field(
        default_factory=list, description="Further image-level labels to hold scores against."
    )
    stride: Literal[4, 8, 16, 32] = Field(16, description="Pixels of the view per cell of the maps.")
    level: int | None = Field(
        None,
        ge=2,
        le=5,
        description="Encoder level that the maps are read from; empty = the last of that stride (with `fuse` the first). An early one sees less around a cell.",
    )
    fuse: int = Field(
        0, ge=0, le=512, description="Channels of a top-down fusion of deeper features into the maps' level; 0 = none."
    )
    pooling: Literal["lse", "mean", "max", "topk", "attention"] = Field(
        "lse",
        description="How a map becomes the image's logit: log-sum-exp, mean, max, mean of the highest cells, or gated attention.",
    )
    sharpness: float = Field(4.0, gt=0, description="Sharpness r of log-sum-exp: near 0 the mean, large the maximum.")
    top_cells: int | None = Field(None, ge=1, description="Cells that `topk` averages; empty = a share of them.")
    top_share: float = Field(
        0.02, gt=0, le=1, description="Share of the cells inside the field that `topk` averages, rounded up."
    )
    prior: float = Field(0.02, gt=0, lt=1, description="Probability of a class that the untrained head gives.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of feature channels before the maps.")
    sparsity: SparsityConfig = Field(default_factory=SparsityConfig)
    label_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Weight of the labels' loss; 0 learns from `masks` alone, and may then learn from patches.",
    )
    masks: MaskLossConfig | None = Field(
        None, description="Learn from lesion masks too, where training samples have them; empty = labels alone."
    )
    inference: MapInferenceConfig = Field(default_factory=MapInferenceConfig)
    candidates: CandidateConfig = Field(default_factory=CandidateConfig)
    tolerances: list[Tolerance] = Field(
        [0.0],
        min_length=1,
        description="Pixels of the original image by which a candidate may miss a lesion and still hit it; figures are given for each.",
    )

    @property
    def pooling_caption(self) -> str:
        """How the image's logit comes from the map, in words, for every report made with it."""
        cells = (
            f"{self.top_cells} highest cells" if self.top_cells else f"highest {100 * self.top_share:g} % of the cells"
        )
        how = {
            "lse": f"log-sum-exp of the map's cells (r = {self.sharpness:g})",
            "mean": "the mean of the map's cells: additive, each cell adds its n-th part",
            "max": "the map's highest cell",
            "topk": f"the mean of the map's {cells}",
            "attention": "the mean of the map's cells, weighted by gated attention",
        }[self.pooling]
        return f"An image's logit is {how}{'' if self.pooling == 'mean' else '; not additive over cells'}."

    @model_validator(mode="after")
    def _learns_something(self) -> LocalizationConfig:
        if not self.label_weight and self.masks is None:
            raise ValueError("label_weight is 0 and there are no `masks`: nothing to learn from; add one of them")
        if not self.label_weight and self.sparsity.on:
            raise ValueError("`sparsity` stands beside the labels' loss, and label_weight is 0; leave one of them out")
        return self

    @field_validator("tolerances")
    @classmethod
    def _each_once(cls, value: list[float]) -> list[float]:
        if len(set(value)) < len(value):
            raise ValueError("a tolerance stands twice; list each once")
        return value
