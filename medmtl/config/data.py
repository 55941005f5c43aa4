"""What a run is shown: manifests and splits, views of images, and their random changes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from medmtl.blocks import Block


class DataConfig(Block):
    """Which samples a run sees."""

    manifests: list[Path] = Field(
        default_factory=list, description="Manifests (CSV or Parquet), relative to the working folder."
    )
    training_manifests: list[Path] = Field(
        default_factory=list,
        description="Further manifests that are only learned from, such as painted images: none of their rows validates, and people whom the others hold out are left out.",
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
            raise ValueError(f"patch ({self.patch}) is larger than the view's size ({self.size}); lower it")
        if self.patch is None and self.patches_per_image > 1:
            raise ValueError(f"patches_per_image is {self.patches_per_image}, but there is no patch; state its side")
        return self
