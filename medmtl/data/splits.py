"""Seeded splits by patient: both eyes of a person stay together, and each split has its share of every stratum."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from medmtl.data.rows import SPLITS
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, suggestion


def assign_groups(strata: Mapping[str, str], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Deals groups out to splits, stratified, whatever the order in which they come.

    The groups are lined up stratum after stratum, shuffled within each and the strata among themselves; each in turn
    goes to the split that lacks most of its share so far. Any run of the line, so any stratum and the whole, then has
    each split's share to within two groups.

    Args:
        strata: Stratum of each group.
        fractions: Share of each split; positive, together 1.
        seed: Seed of the shuffling.

    Returns:
        The split of each group. With at least as many groups as splits no split is empty.

    Raises:
        ConfigError: The fractions are not positive or do not make 1.
    """
    _check(fractions)
    line = _line_up(strata, np.random.default_rng(seed))
    given: dict[str, int] = dict.fromkeys(fractions, 0)
    result: dict[str, str] = {}
    for number, group in enumerate(line, start=1):
        lacking = {name: share * number - given[name] for name, share in fractions.items()}
        split = max(sorted(lacking), key=lambda name: lacking[name])
        result[group] = split
        given[split] += 1
    return _without_empty(result, fractions)


def _check(fractions: Mapping[str, float]) -> None:
    for name in fractions:
        if name not in SPLITS:
            raise ConfigError("unknown split", found=f"'{name}'", remedy=suggestion(name, SPLITS))
    shares = [float(share) for share in fractions.values()]
    if not shares or not all(0.0 < share <= 1.0 for share in shares) or abs(sum(shares) - 1.0) > 1e-6:
        found = ", ".join(f"{name}={share:g}" for name, share in fractions.items())
        raise ConfigError(
            "the fractions of the splits", found=found or "none", remedy="give positive shares that sum to 1"
        )


def _line_up(strata: Mapping[str, str], random: np.random.Generator) -> list[str]:
    members: dict[str, list[str]] = defaultdict(list)
    for group in sorted(strata):
        members[strata[group]].append(group)
    names = sorted(members)
    order = [names[i] for i in random.permutation(len(names))]
    return [members[name][i] for name in order for i in random.permutation(len(members[name]))]


def _without_empty(result: dict[str, str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Gives an empty split one group of the largest, so that a tiny set still has something to validate on."""
    for name in sorted(fractions):
        counts = Counter(result.values())
        if counts[name] == 0 and len(result) >= len(fractions):
            largest = max(sorted(counts), key=lambda split: counts[split])
            result[next(group for group in reversed(result) if result[group] == largest)] = name
    return result


def split_by_patient(
    samples: Sequence[Sample],
    fractions: Mapping[str, float],
    seed: int,
    stratify_by: str | Sequence[str] = (),
) -> tuple[Sample, ...]:
    """Splits samples by patient.

    Args:
        samples: The samples; splits that they have are replaced.
        fractions: Share of the patients for each of ``train``, ``val``, ``test``; positive, together 1.
        seed: Seed; the same for any order of the rows.
        stratify_by: Keys of labels (``NAME`` or ``NAME.CLASS``) whose combinations are spread evenly. A patient with
            several images counts by the rarest of their combinations; an unknown label is a value of its own.

    Returns:
        The samples in their order, each with its split.

    Raises:
        ConfigError: The fractions are not positive or do not make 1, or no sample has such a label.
    """
    keys = (stratify_by,) if isinstance(stratify_by, str) else tuple(stratify_by)
    known = {key for sample in samples for key in sample.labels}
    for key in keys:
        if key not in known:
            remedy = suggestion(key, known)
            raise ConfigError("no sample has the label to stratify by", found=f"'{key}'", remedy=remedy)
    people = assign_groups(_strata(samples, keys), fractions, seed)
    return tuple(dataclasses.replace(sample, split=people[_group(sample)]) for sample in samples)


def _group(sample: Sample) -> str:
    return repr(sample.person)


def _strata(samples: Sequence[Sample], keys: Sequence[str]) -> dict[str, str]:
    combinations: dict[str, set[Hashable]] = defaultdict(set)
    for sample in samples:
        combinations[_group(sample)].add(tuple(sample.labels.get(key, "") for key in keys))
    people = Counter(combination for own in combinations.values() for combination in own)
    rarity = {combination: (count, repr(combination)) for combination, count in people.items()}
    return {group: repr(min(own, key=lambda combination: rarity[combination])) for group, own in combinations.items()}
