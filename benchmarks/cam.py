"""Class maps of the head (one forward pass for all classes) against Grad-CAM of four classes, on the same network.

    python benchmarks/cam.py [--size 768] [--stride 16] [--fuse 0] [--rounds 7]

Interleaved: every round times each way once, in turn; medians and ratios are printed. All ways end in maps of the
image's size. Aim: pytorch-grad-cam's Grad-CAM takes at least 8 times as long as the class maps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch.nn import functional as F

from medmtl.explanation.cam import cam_classes, cam_map
from medmtl.models import ClassMapHead, SharedEncoderNetwork, TaskView, build_encoder

CLASSES = 4
AIM = 8.0


def ways(size: int, stride: int, fuse: int) -> dict[str, Callable[[], object]]:
    """The ways to get maps of all classes, by name; the first is the head's own."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    head = ClassMapHead(encoder.channels, CLASSES, stride, "lse", fuse=fuse)
    network = SharedEncoderNetwork(encoder, {"lesions": head}).eval()
    image = torch.rand(1, 3, size, size)
    view = TaskView(network, "lesions")
    # The layer that the class maps are made of: what else Grad-CAM would be given.
    layers = view.target_layers()

    @torch.no_grad()
    def class_maps() -> object:
        return F.interpolate(network(image, ["lesions"])["lesions"].maps, size=(size, size), mode="bilinear")

    def library() -> object:
        with GradCAM(view, layers) as cam:
            return [cam(image, [ClassifierOutputTarget(number)]) for number in range(CLASSES)]

    def own_gradcam() -> object:
        return [cam_map(view, image, "gradcam", layers, channel=number) for number in range(CLASSES)]

    def own_classes() -> object:
        return cam_classes(view, image, "gradcam", layers, range(CLASSES))

    def backwards() -> object:
        kept: list[torch.Tensor] = []
        handle = layers[0].register_forward_hook(lambda module, inputs, output: kept.append(output))
        logits = view(image)
        handle.remove()
        maps = []
        for number in range(CLASSES):
            gradient = torch.autograd.grad(logits[0, number], kept[0], retain_graph=True)[0]
            maps.append((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).clamp(min=0))
        with torch.no_grad():
            return F.interpolate(torch.cat(maps), size=(size, size), mode="bilinear")

    return {
        "class maps of the head, one forward pass": class_maps,
        f"Grad-CAM of pytorch-grad-cam, {CLASSES} classes": library,
        f"Grad-CAM of medmtl, {CLASSES} classes one by one": own_gradcam,
        f"Grad-CAM of medmtl, {CLASSES} classes together": own_classes,
        f"one forward pass and {CLASSES} backward passes to the target layer": backwards,
    }


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, timed in turn, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for count in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if count:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Times the ways and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--fuse", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    found = medians(ways(arguments.size, arguments.stride, arguments.fuse), arguments.rounds)
    first, own = next(iter(found.items()))
    print(f"{arguments.size} px, stride {arguments.stride}, fuse {arguments.fuse}, {torch.get_num_threads()} threads")
    for name, value in found.items():
        against = "" if name == first else f"  {value / own:5.1f} times the class maps"
        print(f"{1e3 * value:8.0f} ms  {name}{against}")
    ratio = found[f"Grad-CAM of pytorch-grad-cam, {CLASSES} classes"] / own
    print(f"aim: at least {AIM:g} times; {'reached' if ratio >= AIM else 'NOT reached'}")


if __name__ == "__main__":
    main()
