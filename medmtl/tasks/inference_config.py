"""How a task with maps or masks looks at a whole image: at which scales, mirrored, and in tiles of which size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from medmtl.config import Block

WHOLE = 32
"""Tiles and scaled images have sides of whole cells of the deepest encoder level, in pixels."""

Scale = Annotated[float, Field(ge=0.25, le=4)]
"""Of the view: 2 shows twice as many pixels a side."""


class RemovalConfig(Block):
    """Take away what was found and look again; the maps are the maximum over all looks."""

    rounds: int = Field(
        3, ge=1, le=20, description="Most looks after the first; none without a new place to take away."
    )
    threshold: float = Field(0.0, ge=-100, le=100, description="Least value of the map, a logit, that is taken away.")
    radius: float = Field(
        12.0, ge=1, le=500, description="Radius of what is taken away around a peak, in pixels of the view."
    )
    places: int = Field(20, ge=1, description="Most places taken away in a round, of all classes together.")
    fill: Literal["inpaint", "mean"] = Field(
        "inpaint", description="Filled from around it, or with the mean color of the field."
    )


class InferenceConfig(Block):
    """One look at the image as a view shows it, or several, or tiles; also where validation chooses thresholds."""

    scales: list[Scale] = Field(
        [1.0],
        min_length=1,
        description="Sides at which the image is looked at, as multiples of the view's; above 1 it is read again, finer.",
    )
    merge: Literal["mean", "max"] = Field(
        "mean", description="How the maps of several scales become one: mean or maximum of the logits, cell by cell."
    )
    tile: int | None = Field(
        None, ge=64, description="Side of tiles in pixels, a multiple of 32, for bounded memory; empty = in one piece."
    )
    overlap: float = Field(
        0.5,
        ge=0,
        le=0.75,
        description="Share of a tile's side that neighbors share; a quarter of it is dropped at each rim, the rest blended.",
    )
    blend: Literal["gaussian", "constant"] = Field(
        "gaussian", description="Weight of a tile's pixels where tiles overlap: falling off from its middle, or equal."
    )
    flips: bool = Field(
        False,
        description="Average with the three mirror images, four times the work; validation during training does without.",
    )

    @field_validator("scales")
    @classmethod
    def _each_once(cls, value: list[float]) -> list[float]:
        if len(set(value)) < len(value):
            raise ValueError("a scale stands twice; list each once")
        return value

    @field_validator("tile")
    @classmethod
    def _whole_cells(cls, value: int | None) -> int | None:
        if value is not None and value % WHOLE:
            raise ValueError(f"must be a multiple of {WHOLE}; write {max(2, round(value / WHOLE)) * WHOLE}")
        return value

    @property
    def plain(self) -> bool:
        """Whether this is one look at the whole view."""
        return self.scales == [1.0] and self.tile is None and not self.flips

    def side(self, view: int, scale: float) -> int:
        """Side in pixels at which an image is looked at.

        Args:
            view: Side of the view.
            scale: One of the scales.
        """
        return view if scale == 1 else max(1, round(view * scale / WHOLE)) * WHOLE

    def fine_side(self, view: int) -> int | None:
        """Side of the finer image that has to be read beside the view; None where the view is enough."""
        side = self.side(view, max(self.scales))
        return side if side > view else None


class MapInferenceConfig(InferenceConfig):
    """The same for class maps, whose evidence can be taken away besides."""

    removal: RemovalConfig | None = Field(None, description="Take evidence away and look again; empty = one look.")

    @property
    def plain(self) -> bool:
        """Whether this is one look at the whole view."""
        return super().plain and self.removal is None
