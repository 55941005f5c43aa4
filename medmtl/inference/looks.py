"""Maps from several looks at an image: scales, tiles, mirrored, and with evidence taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from medmtl.data.loading import Batch
from medmtl.inference.network import Network
from medmtl.inference.removal import Mask, filled, iterated
from medmtl.inference.tiles import Evidence, Look, tiled
from medmtl.models import ClassMaps
from medmtl.tasks import AnyTask
from medmtl.tasks.inference_config import InferenceConfig, MapInferenceConfig, RemovalConfig


def task_outputs(network: Network, tasks: Sequence[AnyTask], batch: Batch, *, flips: bool = True) -> dict[str, Any]:
    """The outputs of tasks: one forward pass for those that want no more, then the looks of the others.

    Tasks that look in the same way share their forward passes, unless tiles bound the memory or what one finds is taken away.

    Args:
        network: The network, in evaluation mode.
        tasks: Tasks of the batch's view.
        batch: Whole views.
        flips: Whether mirror images are looked at where a task asks for them.
    """
    outputs: dict[str, Any] = network(
        batch.image, [task.name for task in tasks if task.inference is None], valid=batch.field
    )
    for settings, names in _together(tasks):
        passes = _Passes(network, names)
        for name in names:
            outputs[name] = looked(network, name, batch, settings, flips=flips, forward=passes.of(name))
    return outputs


def _together(tasks: Sequence[AnyTask]) -> list[tuple[InferenceConfig, list[str]]]:
    groups: list[tuple[InferenceConfig, list[str]]] = []
    for task in tasks:
        settings = task.inference
        if settings is None:
            continue
        alone = settings.tile is not None or getattr(settings, "removal", None) is not None
        group = next((names for known, names in groups if known == settings and not alone), None)
        if group is None:
            groups.append((settings, [task.name]))
        else:
            group.append(task.name)
    return groups


class _Passes:
    """Forward passes of tasks that look at the same images in the same order: each is computed once, for all of them."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self.network = network
        self.names = list(names)
        self.outputs: list[dict[str, Any]] = []

    def of(self, name: str) -> Callable[[Tensor], ClassMaps | Tensor]:
        """From the images that one task looks at, one after the other, to its outputs."""
        number = count()

        def forward(image: Tensor) -> ClassMaps | Tensor:
            place = next(number)
            if place == len(self.outputs):
                self.outputs.append(self.network(image, self.names))
            output: ClassMaps | Tensor = self.outputs[place][name]
            return output

        return forward


def looked(
    network: Network,
    task: str,
    batch: Batch,
    settings: InferenceConfig,
    *,
    flips: bool = True,
    forward: Callable[[Tensor], ClassMaps | Tensor] | None = None,
) -> ClassMaps | Tensor:
    """The maps of all looks at whole images: of a segmentation logits of the view's pixels, else class maps with the
    image's logits pooled from them over the field.

    Args:
        network: The network, in evaluation mode.
        task: A task with maps.
        batch: Whole views, with the finer image where the settings ask for one.
        settings: Scales, tiles, and whether what is found is taken away.
        flips: Whether mirror images are looked at where the settings ask for them.
        forward: From images to the task's output; default: the network.
    """
    head: Any = network.heads[task]
    seen = forward or _Passes(network, [task]).of(task)

    def whole(image: Tensor) -> Evidence:
        output = seen(image)
        return Evidence(output) if isinstance(output, Tensor) else Evidence(output.maps, output.attention)

    def in_tiles(image: Tensor) -> Evidence:
        return (
            whole(image)
            if settings.tile is None
            else tiled(whole, image, settings.tile, settings.overlap, settings.blend)
        )

    look = mirrored(in_tiles) if settings.flips and flips else in_tiles
    images = scaled_images(batch.image, batch.fine, settings)
    if isinstance(settings, MapInferenceConfig) and settings.removal is not None:
        merged = _without_what_was_found(look, images, batch.field, settings, settings.removal)
    else:
        merged = merged_scales(look, images, settings.merge)
    if not hasattr(head, "pooled"):
        return (
            merged.maps
            if merged.maps.shape[-1] == batch.field.shape[-1]
            else _resized(merged.maps, batch.field.shape[-1])
        )
    side = max(image.shape[-1] for image in images.values())
    field = batch.field
    if field.shape[-1] != side:
        field = F.interpolate(field.float(), size=(side, side), mode="nearest-exact")
    return ClassMaps(merged.maps, head.pooled(merged.maps, field, merged.attention), merged.attention)


def _without_what_was_found(
    look: Look, images: Mapping[float, Tensor], field: Tensor, settings: InferenceConfig, removal: RemovalConfig
) -> Evidence:
    """Image by image, because each has its own places; the field is (B, 1, s, s)."""
    found = []
    for row, inside in enumerate(field[:, 0].cpu().numpy() > 0):
        own = {scale: image[row : row + 1] for scale, image in images.items()}

        def without(removed: Mask, own: Mapping[float, Tensor] = own, inside: Mask = inside) -> Evidence:
            left = {scale: filled(image, removed, inside, removal.fill) for scale, image in own.items()}
            return merged_scales(look, left, settings.merge)

        found.append(iterated(without, inside, removal)[0])
    scores = [item.attention for item in found if item.attention is not None]
    return Evidence(torch.cat([item.maps for item in found]), torch.cat(scores) if scores else None)


def mirrored(look: Look) -> Look:
    """The mean of a look at images and at their mirror images: left to right, top to bottom, and both."""

    def four(image: Tensor) -> Evidence:
        found = [_unflipped(look(image.flip(axes)), axes) for axes in ((), (-1,), (-2,), (-2, -1))]
        scores = [item.attention for item in found if item.attention is not None]
        maps = torch.stack([item.maps for item in found]).mean(0)
        return Evidence(maps, torch.stack(scores).mean(0) if scores else None)

    return four


def _unflipped(seen: Evidence, axes: tuple[int, ...]) -> Evidence:
    scores = None if seen.attention is None else seen.attention.float().flip(axes)
    return Evidence(seen.maps.float().flip(axes), scores)


def scaled_images(image: Tensor, fine: Tensor | None, settings: InferenceConfig) -> Mapping[float, Tensor]:
    """The images of each scale: the view itself at 1, smaller ones from it, larger ones from the finer image.

    Args:
        image: Views (B, 3, s, s).
        fine: The same, finer, where a scale is above 1.
        settings: The scales.
    """
    size = image.shape[-1]
    images = {}
    for scale in settings.scales:
        side = settings.side(size, scale)
        source = fine if side > size and fine is not None else image
        images[scale] = source if source.shape[-1] == side else _resized(source, side)
    return images


def merged_scales(look: Look, images: Mapping[float, Tensor], merge: str = "mean") -> Evidence:
    """Looks at every scale; maps of coarser ones are interpolated to the finest grid.

    Args:
        look: The evidence of one image.
        images: The image at each scale, each (B, 3, s, s) of its own s.
        merge: ``mean`` or ``max`` of the logits; the scores of attention pooling are averaged.
    """
    found = [look(image) for image in images.values()]
    if len(found) == 1:
        return found[0]
    grid = max((item.maps.shape[-2:] for item in found), key=lambda shape: shape[0])
    maps = [_to_grid(item.maps, grid) for item in found]
    combined = reduce(torch.maximum, maps) if merge == "max" else torch.stack(maps).mean(0)
    scores = [_to_grid(item.attention, grid) for item in found if item.attention is not None]
    return Evidence(combined, torch.stack(scores).mean(0) if scores else None)


def _to_grid(maps: Tensor, grid: torch.Size) -> Tensor:
    if maps.shape[-2:] == grid:
        return maps.float()
    return F.interpolate(maps.float(), size=tuple(grid), mode="bilinear", align_corners=False)


def _resized(image: Tensor, side: int) -> Tensor:
    larger = side > image.shape[-1]
    return F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False, antialias=not larger)
