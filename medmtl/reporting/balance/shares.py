"""Update shares rAU of a probe's table as arrays: looks × layers × tasks, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medmtl.reporting.balance.trends import Array

LAYERS = 24
"""Most rows of a figure whose labels can still be read."""

LABEL = 16
"""Letters of a label that are worth their room."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Which task moves which layer when.

    Attributes:
        steps: Updates at which was looked, (S,), rising.
        layers: Names, in the network's order.
        tasks: Names.
        values: rAU in [0, 1], (S, L, K); NaN where a task does not reach a layer or was not seen yet.
        merged: Layers that each row stands for, (L,).
    """

    steps: Array
    layers: tuple[str, ...]
    tasks: tuple[str, ...]
    values: Array
    merged: tuple[int, ...]

    @property
    def reach(self) -> Array:
        """How many tasks each layer was moved by, (L,)."""
        found: Array = np.isfinite(self.values).any(axis=0).sum(axis=1).astype(float)
        return found

    @property
    def even(self) -> Array:
        """The share of each task in each layer where all that reach it share alike, (L,)."""
        found: Array = 1 / np.maximum(self.reach, 1)
        return found


def read_shares(probe: pd.DataFrame) -> Shares | None:
    """Gathers the shares of a probe's table; None where it has none."""
    if probe.empty:
        return None
    rows = probe[probe["measure"] == "update_share"].assign(value=lambda r: pd.to_numeric(r["value"], errors="coerce"))
    if rows.empty:
        return None
    steps, step = np.unique(pd.to_numeric(rows["step"]).to_numpy(dtype=float), return_inverse=True)
    layer, layers = pd.factorize(rows["layer"].astype(str))
    task, tasks = pd.factorize(rows["tasks"].astype(str))
    values = np.full((len(steps), len(layers), len(tasks)), np.nan)
    values[step, layer, task] = rows["value"].to_numpy(dtype=float)
    return Shares(steps, tuple(map(str, layers)), tuple(map(str, tasks)), values, (1,) * len(layers))


def grouped(shares: Shares, most: int = LAYERS) -> Shares:
    """Merges layers by the beginnings of their names until a figure can hold them; the mean of each task's shares.

    Names are cut at their dots, as deep as leaves at most ``most`` groups. Of labels that are too long, levels that all
    names share are left out.

    Args:
        shares: Shares by layer.
        most: Largest number of rows; one level below the common ones is kept even where it has more.
    """
    parts = [name.split(".") for name in shares.layers]
    common = _common(parts)
    depth = max(map(len, parts))
    while depth > common + 1 and len({tuple(part[:depth]) for part in parts}) > most:
        depth -= 1
    labels = [tuple(part[:depth]) for part in parts]
    kept = tuple(dict.fromkeys(labels))
    members = [[index for index, label in enumerate(labels) if label == name] for name in kept]
    values = np.stack([mean_known(shares.values[:, group], axis=1) for group in members], axis=1)
    return replace(shares, layers=_short(kept, common), values=values, merged=tuple(map(len, members)))


def _common(parts: Sequence[Sequence[str]]) -> int:
    """Levels that all names share, the last level of any name not counted."""
    level = 0
    while all(len(part) > level + 1 for part in parts) and len({part[level] for part in parts}) == 1:
        level += 1
    return level


def _short(names: Sequence[tuple[str, ...]], common: int) -> tuple[str, ...]:
    cut = 0
    while cut < common and max(len(".".join(name[cut:])) for name in names) > LABEL:
        cut += 1
    return tuple(".".join(name[cut:]) for name in names)


def thinned(shares: Shares, most: int = 160) -> Shares:
    """Merges neighboring looks until there are at most ``most``; means of shares and of steps."""
    if len(shares.steps) <= most:
        return shares
    groups = np.array_split(np.arange(len(shares.steps)), most)
    steps = np.array([shares.steps[group].mean() for group in groups])
    return replace(shares, steps=steps, values=np.stack([mean_known(shares.values[g], axis=0) for g in groups]))


def of_task(shares: Shares, task: str) -> Array:
    """The shares of one task, (S, L)."""
    return shares.values[:, :, shares.tasks.index(task)]


def largest(shares: Shares) -> Array:
    """The largest share in each layer at each look, (S, L): 1/K where all share alike, 1 where one task rules."""
    known = np.isfinite(shares.values)
    found: Array = np.where(known.any(axis=2), np.where(known, shares.values, -np.inf).max(axis=2), np.nan)
    return found


def reached_by_all(shares: Shares) -> Shares:
    """Only the layers that all tasks reach, where an even share is 1/K; all layers where there is none."""
    inside = np.flatnonzero(shares.reach == len(shares.tasks))
    if not len(inside):
        return shares
    layers, merged = zip(*((shares.layers[index], shares.merged[index]) for index in inside), strict=True)
    return replace(shares, layers=layers, values=shares.values[:, inside], merged=merged)


def over_layers(shares: Shares) -> Array:
    """The mean share of each task over the layers that it reaches, (S, K): every layer counts once."""
    weight = np.asarray(shares.merged, dtype=float)[None, :, None]
    return mean_known(shares.values, axis=1, weight=np.broadcast_to(weight, shares.values.shape))


def leaning(values: Array, even: Array) -> Array:
    """Shares on a scale where 0 is nothing, 0.5 the layer's even share and 1 everything.

    Args:
        values: Shares, (S, L).
        even: Even share of each layer, (L,), below 1 where a layer has several tasks.
    """
    above = 0.5 + 0.5 * (values - even) / np.maximum(1 - even, 1e-12)
    found: Array = np.where(values <= even, 0.5 * values / even, above)
    return found


def by_layer(shares: Shares) -> Array:
    """The mean share of each task in each layer over all looks, (L, K)."""
    return mean_known(shares.values, axis=0)


def mean_known(values: Array, axis: int, weight: Array | None = None) -> Array:
    """The mean of what is not NaN; NaN where nothing is known."""
    known = np.isfinite(values)
    weights = known * (1.0 if weight is None else weight)
    total = weights.sum(axis=axis)
    sums = np.where(known, values * weights, 0.0).sum(axis=axis)
    mean: Array = np.divide(sums, total, out=np.full(np.shape(total), np.nan), where=total > 0)
    return mean
