"""How long and how fast a run learns, and how its results are computed."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from medmtl.blocks import Block, Seed

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class AnalysisConfig(Block):
    """Who moves which parameter, and whose gradients conflict: measured now and then during training."""

    every: int = Field(0, ge=0, description="Steps between two looks; 0 = never, which costs nothing.")
    samples: int = Field(8, ge=0, le=64, description="Most samples, and tasks, whose gradients are compared in a look.")


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
    clip_task_norm: float | None = Field(
        None, gt=0, description="Largest norm of each task's gradient, for methods that take them one by one."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Autocast of forward passes; `fp16` with a dynamic loss scale."
    )
    nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="A loss that is NaN, infinite or negative where `method` takes no negative ones stops the run, saved, or its update is skipped. A gradient that is not finite, though the losses are, skips its update; ten in a row stop the run, too (under `fp16`, whose loss scale is found that way, once that is as small as it gets).",
    )
    analysis: AnalysisConfig = Field(default_factory=AnalysisConfig)
    compile: bool = Field(False, description="Compile the network with torch.compile (needs a C++ compiler on CPU).")
    channels_last: bool = Field(
        True, description="Keep images and weights in channels-last memory order (faster on CPU and on recent GPUs)."
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, ...")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of torch; empty = torch's own choice.")
    validate_every: int = Field(1, ge=1, description="Epochs between two validations.")
    patience: int | None = Field(
        None, ge=1, description="Validations without a gain after which training stops; empty = never."
    )
    select: Literal["best", "last"] = Field(
        "best",
        description="Checkpoint that evaluation uses: best on validation, or the last (a refit without validation).",
    )
    select_by: list[str] = Field(
        default_factory=list,
        description="Tasks whose validation figures select the best checkpoint; empty = all, each with the same weight.",
    )
    checkpoint_every: int = Field(
        200, ge=1, description="Steps between two checkpoints, besides the one at every epoch's end."
    )

    @field_validator("device")
    @classmethod
    def _device_name(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError("must be auto, cpu, cuda or cuda:N; write one of them")
        return value


class EvaluationConfig(Block):
    """How results are computed."""

    bootstrap: int = Field(2000, ge=100, description="Bootstrap samples of an interval, over patients.")
    seed: Seed = Field(0, description="Seed of the bootstrap and of random sanity rows.")
