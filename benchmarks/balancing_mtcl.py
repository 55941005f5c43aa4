"""What a turn of MTCL costs: passes counted by hooks, and time over a turn written by hand with the same passes.

Part of balancing.py. The floor of a turn with T tasks: T encoder forwards of which T - 1 without gradient, one encoder
backward, 1 + M passes of the predictor (M draws of noise; 2 in all for the ascent form), one step of one optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import torch
from balancing_nets import Size, Step, adamw, layers_of, ours
from pass_counter import counted
from timing import Clock, difference, ratio, rounds
from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.optim import TaskLoss

RADIUS, MIX, DRAWS = 0.1, 0.5, 2
FORMS: dict[str, dict[str, Any]] = {
    "not flat": {"flatness": "none"},
    "ascent": {"flatness": "ascent", "radius": RADIUS, "mix": MIX},
    "uniform noise, M = 2": {"flatness": "uniform", "radius": RADIUS, "mix": MIX, "draws": DRAWS},
}


class Cooperative(nn.Module):
    """One encoder a task; predictors on the pooled features of all tasks; a `SplitProblem`."""

    def __init__(self, size: Size, k: int) -> None:
        super().__init__()
        self.tasks = tuple(f"t{i}" for i in range(k))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.encoders = nn.ModuleDict({task: layers_of(size) for task in self.tasks})
            self.predictors = nn.ModuleDict(
                {t: nn.Sequential(nn.Linear(size.widths[-1] * k, 32), nn.ReLU(), nn.Linear(32, 1)) for t in self.tasks}
            )
            self.inputs = torch.randn(size.batch, 3, size.image, size.image)
            self.targets = {task: torch.randn(size.batch, 1) + 2 for task in self.tasks}

    def joined(self, task: str, own: Tensor, others: Mapping[str, Tensor]) -> Tensor:
        """The output of a task's predictor."""
        features = [own if name == task else others[name] for name in self.tasks]
        output: Tensor = self.predictors[task](torch.cat(features, 1))
        return output

    def counts(self, batch: Tensor, tasks: tuple[str, ...]) -> dict[str, int]:
        """All labels are there."""
        return dict.fromkeys(tasks, len(batch))

    def losses(self, batch: Tensor, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """All sub-models as one network."""
        features = {task: self.encode(batch, task) for task in self.tasks}
        return {task: self.predict(batch, task, features[task], features) for task in tasks}

    def parameters_of(self, task: str) -> list[tuple[str, nn.Parameter]]:
        """Encoder and predictor of a task."""
        parts = {"encoders": self.encoders[task], "predictors": self.predictors[task]}
        return [(f"{part}.{task}.{n}", p) for part, module in parts.items() for n, p in module.named_parameters()]

    def encode(self, batch: Tensor, task: str, buffers: str = "update") -> Tensor:
        """Features of a task's encoder."""
        features: Tensor = self.encoders[task](batch)
        return features

    def exchange(self, features: Tensor) -> Tensor:
        """As they are."""
        return features

    def lend(self, batch: Tensor, task: str) -> Tensor:
        """Without gradient; there is no layer that evaluation mode would change."""
        with torch.no_grad():
            return self.encode(batch, task)

    def predict(
        self, batch: Tensor, task: str, own: Tensor, others: Mapping[str, Tensor], buffers: str = "update"
    ) -> TaskLoss:
        """Squared errors."""
        output = self.joined(task, own, others)
        return TaskLoss(F.mse_loss(output, self.targets[task], reduction="sum"), len(batch))


def floor(net: Cooperative, form: str) -> Step:
    """A turn written by hand, one task after the other."""
    optimizers = {task: adamw(net.parameters_of(task)) for task in net.tasks}
    turns = cycle(net.tasks)
    random = torch.Generator().manual_seed(0)

    def step() -> None:
        task = next(turns)
        optimizers[task].zero_grad(set_to_none=True)
        with torch.no_grad():
            others = {other: net.encoders[other](net.inputs) for other in net.tasks if other != task}
        own, target = net.encoders[task](net.inputs), net.targets[task]
        for lent in others.values() if form == "ascent" else ():
            lent.requires_grad_()
        clean = F.mse_loss(net.joined(task, own, others), target)
        moved = list(_moved(form, clean, others, random))
        flat = [F.mse_loss(net.joined(task, own, places), target) for places in moved]
        loss = (1 - MIX) * clean + MIX * torch.stack(flat).mean() if flat else clean
        loss.backward()
        optimizers[task].step()

    return step


def _moved(form: str, clean: Tensor, others: dict[str, Tensor], random: torch.Generator) -> list[dict[str, Tensor]]:
    """What the others lend, at the perturbed places."""
    if form == "ascent":
        slopes = torch.autograd.grad(clean, list(others.values()), retain_graph=True)
        lengths = [lent.detach().norm(dim=1, keepdim=True) for lent in others.values()]
        sizes = [(c * g.norm(dim=1, keepdim=True)) ** 2 for c, g in zip(lengths, slopes, strict=True)]
        total = torch.stack(sizes).sum(0).sqrt() + 1e-12
        steps = [RADIUS * c**2 * g / total for c, g in zip(lengths, slopes, strict=True)]
        return [{name: z.detach() + step for (name, z), step in zip(others.items(), steps, strict=True)}]
    places = []
    for _ in range(DRAWS if "noise" in form else 0):
        noise = {name: (torch.rand(z.shape, generator=random) * 2 - 1) * 3**0.5 for name, z in others.items()}
        scale = {name: RADIUS * z.square().mean(1, keepdim=True).sqrt() for name, z in others.items()}
        places.append({name: z + noise[name] * scale[name] for name, z in others.items()})
    return places


def passes(maker: Callable[[Cooperative], Step], net: Cooperative) -> str:
    """Encoder forwards with and without gradient, encoder backwards, predictor forwards, optimizer steps, of one turn."""
    step = maker(net)
    step()
    parts = {f"{part} {t}": getattr(net, part)[t] for part in ("encoders", "predictors") for t in net.tasks}
    with counted(parts) as done:
        step()
    encoders, heads = ([name for name in parts if name.startswith(part)] for part in ("encoders", "predictors"))
    found = done()
    numbers = [found.total(what, encoders) for what in ("forwards", "looks", "backwards")]
    return " / ".join(map(str, [*numbers, found.total("forwards", heads) + found.total("looks", heads), found.steps]))


def show(sizes: Mapping[str, Size], tasks: list[int], number: int, clock: Clock) -> None:
    """The counts, and the time over the floor."""
    print("\n## A turn of MTCL: passes, counted by hooks; ours and by hand\n")
    print("Encoders with gradient / without / backward, passes of the predictor, optimizer steps.\n")
    print("| form | " + " | ".join(f"K = {k}" for k in tasks) + " |\n|---" + "|---" * len(tasks) + "|")
    smallest = next(iter(sizes.values()))
    for form, arguments in FORMS.items():
        cells = []
        for k in tasks:
            mine = passes(lambda net, a=arguments: ours(net, "mtcl", **a), Cooperative(smallest, k))
            cells.append(f"{mine}; {passes(lambda net, f=form: floor(net, f), Cooperative(smallest, k))}")
        print(f"| {form} | " + " | ".join(cells) + " |")
    print("\n| network | K | form | floor ms | ratio to the floor | added µs |\n|---|---|---|---|---|---|")
    for label, size in sizes.items():
        for k in tasks:
            for form, arguments in FORMS.items():
                steps = {
                    "floor": floor(Cooperative(size, k), form),
                    "mtcl": ours(Cooperative(size, k), "mtcl", **arguments),
                }
                times = rounds(steps, number, clock)
                base = sorted(times["floor"])[number // 2] * 1e3
                added = difference(times, "mtcl", "floor").value * 1e6
                cell = f"{base:.1f} | {ratio(times, 'mtcl', 'floor')} | {added:.0f}"
                print(f"| {label} | {k} | {form} | {cell} |", flush=True)
