"""From a manifest's sample to network arrays: MONAI dictionary transforms, fixed ones first, random ones after."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import (
    CastToTyped,
    Compose,
    MapTransform,
    RandAffined,
    RandFlipd,
    Randomizable,
    RandRotate90d,
    RandSpatialCropd,
    Transform,
)

from medmtl.config import AugmentConfig, ViewConfig
from medmtl.data.blank import refuse_black
from medmtl.data.contrast import local_contrast
from medmtl.data.field import FieldOfView, bounding_box, find_field
from medmtl.data.masks import read_mask_for
from medmtl.data.reading import read_image
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.targets import AnyTarget as AnyTarget
from medmtl.data.targets import MaskTarget
from medmtl.errors import ImageError
from medmtl.geometry import Geometry, centred_square, take_view

FINE = "image.fine"
"""The entry of a view's finer image; no task can have this name."""

VERSION = 1
"""Version of the fixed transforms; part of the key of every cached sample, raised when their output changes."""


class LoadSample(Transform):
    """Reads a sample's image, field of view and masks, in original pixels.

    Adds ``image`` (H, W, 3) float32 in [0, 1], ``field`` (:class:`FieldOfView`), ``masks`` (column to (H, W) uint8).

    Args:
        targets: What the view's tasks ask for.
        blank: Accept an image that is all black.
    """

    def __init__(self, targets: Sequence[AnyTarget], *, blank: bool = False) -> None:
        self.targets = [target for target in targets if isinstance(target, MaskTarget)]
        self.blank = blank

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Reads the files that ``data["sample"]`` names."""
        sample: Sample = data["sample"]
        try:
            image, _ = read_image(sample.image)
            if not self.blank:
                refuse_black(image, sample.image)
            field = read_field(sample, image)
            masks = self._masks(sample, image.shape[:2])
        except ImageError as error:
            place = (
                error.where
                if error.where and error.where.startswith(str(sample.manifest))
                else f"{sample.place}: {error.where}"
            )
            raise ImageError(error.what, where=place, found=error.found, remedy=error.remedy) from None
        return {**data, "image": image, "field": field, "masks": masks}

    def _masks(self, sample: Sample, shape: tuple[int, int]) -> dict[str, npt.NDArray[np.uint8]]:
        masks: dict[str, npt.NDArray[np.uint8]] = {}
        for target in self.targets:
            masks |= sample_masks(sample, target, shape)
        return masks


def sample_masks(sample: Sample, target: MaskTarget, shape: tuple[int, int]) -> dict[str, npt.NDArray[np.uint8]]:
    """The labelled masks of a sample that a task asks for, by column.

    Raises:
        ImageError: A mask cannot be read, is not as large as the image, or holds unknown values.
    """
    masks: dict[str, npt.NDArray[np.uint8]] = {}
    for column in target.columns:
        if column in sample.masks:
            masks[column] = read_mask_for(sample.masks[column], shape, binary=target.binary(column))
            if not target.binary(column):
                target.check(masks[column], f"{sample.place}, column mask:{column}")
    return masks


def read_field(sample: Sample, image: npt.NDArray[np.float32]) -> FieldOfView:
    """The field of view that the manifest names, or the one found in the image."""
    if sample.fov is None:
        return find_field(image)
    mask = read_mask_for(MaskReference(sample.fov), image.shape[:2], binary=True) > 0
    if not mask.any():
        raise ImageError(
            "the field-of-view mask is empty", where=sample.fov, remedy="leave the cell empty to have the field found"
        )
    return FieldOfView(mask, bounding_box(mask), found=True)


class TakeView(Transform):
    """Crops to the square around the field of view, resizes, and encodes the targets of the view's tasks.

    Gives ``image`` (3, s, s) uint8, ``field`` (1, s, s) uint8, one entry per task, ``geometry`` (6,) int64, and
    ``image.fine`` (3, fine, fine) uint8 where asked for. The surround is set to zero, so that what is printed there
    teaches nothing.

    Args:
        view: The view.
        targets: What its tasks ask for.
        fine: Side of the finer image; None for none.
    """

    def __init__(self, view: ViewConfig, targets: Sequence[AnyTarget], fine: int | None = None) -> None:
        self.view = view
        self.targets = list(targets)
        self.finer = None if fine is None else view.model_copy(update={"size": fine})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Applies the view to what :class:`LoadSample` read."""
        field: FieldOfView = data["field"]
        image, mask = field_view(data["image"], field, self.view)
        geometry = view_geometry(field, self.view)
        result: dict[Hashable, Any] = {"image": _planes(image)}
        if self.finer is not None:
            result[FINE] = _planes(field_view(data["image"], field, self.finer)[0])
        result["field"] = mask[None].astype(np.uint8)
        result["geometry"] = np.array(geometry.as_tuple(), dtype=np.int64)
        for target in self.targets:
            result[target.name] = self._encode(target, data, geometry)
        return result

    def _encode(self, target: AnyTarget, data: Mapping[Hashable, Any], geometry: Geometry) -> npt.NDArray[Any]:
        if not isinstance(target, MaskTarget):
            return target.encode(data["sample"])
        masks = {column: take_view(mask, geometry, nearest=True) for column, mask in data["masks"].items()}
        return target.encode(masks, (geometry.size, geometry.size))


def _planes(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    # Contiguous as caches keep it: sums over an image depend, in their last digit, on its order in memory.
    return np.ascontiguousarray(np.rint(image * 255).astype(np.uint8).transpose(2, 0, 1))


def view_geometry(field: FieldOfView, view: ViewConfig) -> Geometry:
    """The square of an image that a view shows."""
    height, width = field.mask.shape
    box = field.box if view.crop == "field" else (0, 0, height, width)
    return centred_square(height, width, box, view.size)


def field_view(
    image: npt.NDArray[np.float32], field: FieldOfView, view: ViewConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """An image as a view shows it, zero outside the field.

    Args:
        image: (H, W, 3) in [0, 1].
        field: Its field of view.
        view: The view.

    Returns:
        The view (s, s, 3) in [0, 1] and its field (s, s).
    """
    geometry = view_geometry(field, view)
    mask = take_view(field.mask.astype(np.uint8), geometry, nearest=True) > 0
    shown = take_view(image, geometry).astype(np.float32)
    if view.contrast == "local":
        shown = local_contrast(shown, mask)
    return np.clip(shown, 0, 1) * mask[..., None], mask


class ToTensors(Transform):
    """Arrays to tensors; the image to float32 in [0, 1]."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Converts each array; other entries are kept."""
        result = {
            key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in data.items()
        }
        for name in ("image", FINE):
            if name in result:
                result[name] = result[name].to(torch.float32) / 255
        return result


class RandColord(MapTransform, Randomizable):
    """Random brightness, contrast and channel gains, within the field of view only."""

    def __init__(self, augment: AugmentConfig) -> None:
        super().__init__(("image",))
        self.augment = augment

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Changes ``image``; the black surround stays black."""
        image = data["image"]
        strengths = np.array([self.augment.brightness, self.augment.contrast, *[self.augment.color] * 3])
        gains = 1 + self.R.uniform(-1, 1, 5) * strengths
        channels = torch.tensor(gains[0] * gains[2:], dtype=image.dtype)[:, None, None]
        mean = image.mean()
        changed = (image * channels - mean) * float(gains[1]) + mean
        return {**data, "image": changed.clamp_(0, 1) * data["field"]}


def fixed_transforms(
    view: ViewConfig, targets: Sequence[AnyTarget], *, blank: bool = False, fine: int | None = None
) -> Compose:
    """What is the same every time a sample is shown, and is therefore cached; all-black images where ``blank``."""
    return Compose([LoadSample(targets, blank=blank), TakeView(view, targets, fine)])


def random_transforms(view: ViewConfig, targets: Sequence[AnyTarget], *, training: bool) -> Compose:
    """What differs each time a training sample is shown; for evaluation only the conversion to tensors."""
    if not training:
        return Compose([ToTensors()])
    maps = ["image", "field", *[target.name for target in targets if isinstance(target, MaskTarget)]]
    augment = view.augment
    steps: list[Any] = [ToTensors()]
    if view.patch is not None:
        steps.append(RandSpatialCropd(maps, (view.patch, view.patch), random_size=False))
    if augment.flip:
        steps += [RandFlipd(maps, prob=0.5, spatial_axis=0), RandFlipd(maps, prob=0.5, spatial_axis=1)]
    if augment.quarter_turns:
        steps.append(RandRotate90d(maps, prob=0.75, max_k=3))
    if augment.rotate or augment.zoom:
        # MONAI resamples in float32; maps stay the bytes they were.
        steps += [_affine(maps, augment), CastToTyped(maps[1:], dtype=torch.uint8)]
    if augment.brightness or augment.contrast or augment.color:
        steps.append(RandColord(augment))
    return Compose(steps)


def _affine(maps: list[str], augment: AugmentConfig) -> RandAffined:
    # New corners are filled with zero: outside the field, where no loss and no metric looks.
    return RandAffined(
        maps,
        prob=1.0,
        rotate_range=float(np.deg2rad(augment.rotate)),
        scale_range=(augment.zoom, augment.zoom),
        mode=["bilinear", *["nearest"] * (len(maps) - 1)],
        padding_mode="zeros",
    )
