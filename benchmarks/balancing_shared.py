"""Work that the tasks could share: a batched backward pass, compiled regions, gradients of features. What each gives."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from balancing_nets import Net, Size, Step, adamw, k_backwards, ours, torchjd_aggregator
from timing import Clock, ratio, rounds

from medmtl.training.problem import compile_network


def batched_backward(net: Net) -> Step:
    """The K backward passes as one under `torch.func.vmap` (`is_grads_batched`), and one step."""
    optimizer = adamw(net.named_parameters())
    shared = list(net.encoder.parameters())
    heads = [list(head.parameters()) for head in net.heads]

    def step() -> None:
        features = net.encoder(net.inputs)
        losses = net.mean_losses(features)
        below = []
        for loss, own in zip(losses, heads, strict=True):
            found = torch.autograd.grad(loss, [features, *own], retain_graph=True)
            below.append(found[0])
            for parameter, gradient in zip(own, found[1:], strict=True):
                parameter.grad = gradient
        rows = torch.autograd.grad(features, shared, torch.stack(below), is_grads_batched=True)
        for parameter, gradients in zip(shared, rows, strict=True):
            parameter.grad = gradients.sum(0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def compiled(net: Net) -> Step:
    """The floor of gradient methods on a compiled encoder."""
    net.encoder = compile_network(net.encoder)
    return k_backwards(net)


def show(sizes: Mapping[str, Size], tasks: list[int], number: int, clock: Clock) -> None:
    """Ratios to K backward passes one after the other."""
    print("\n## Shared work: time against K backward passes one after the other (below 1 is faster)\n")
    print(
        "| network | K | batched backward (vmap) | TorchJD under vmap / in turn | features (mgda_ub / mgda) | compiled encoder | compile s |"
    )
    print("|---|---|---|---|---|---|---|")
    for label, size in sizes.items():
        for k in tasks:
            steps: dict[str, Step] = {
                "floor": k_backwards(Net(size, k)),
                "batched": batched_backward(Net(size, k)),
                "TorchJD vmap": torchjd_aggregator(Net(size, k), "MGDA", None),
                "TorchJD": torchjd_aggregator(Net(size, k), "MGDA", 1),
                "mgda": ours(Net(size, k), "mgda"),
                "mgda_ub": ours(Net(size, k), "mgda_ub"),
                "compiled": compiled(Net(size, k)),
            }
            start = time.perf_counter()
            try:
                steps["compiled"]()
                seconds = f"{time.perf_counter() - start:.0f}"
            except Exception as error:  # noqa: BLE001  no compiler, or a graph that it cannot take: say so
                del steps["compiled"]
                seconds = f"not possible: {type(error).__name__}"
            times = rounds(steps, number, clock)
            cells = [
                ratio(times, "batched", "floor"),
                ratio(times, "TorchJD vmap", "TorchJD"),
                ratio(times, "mgda_ub", "mgda"),
                ratio(times, "compiled", "floor") if "compiled" in steps else "-",
            ]
            print(f"| {label} | {k} | " + " | ".join(map(str, cells)) + f" | {seconds} |", flush=True)
