from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.data.samples import Sample
from medmtl.data.splits import assign_groups, split_by_patient
from medmtl.errors import ConfigError

FRACTIONS = st.sampled_from(
    [{"train": 0.8, "val": 0.2}, {"train": 0.6, "val": 0.2, "test": 0.2}, {"train": 0.7, "val": 0.1, "test": 0.2},
     {"train": 1.0}, {"val": 0.5, "test": 0.5}]
)  # fmt: skip


def sample(number: int, patient: int, label: str | None, dataset: str = "d") -> Sample:
    labels = {} if label is None else {"grade": label}
    path = Path(f"{number}.png")
    return Sample(str(number), path, number + 2, Path("m.csv"), dataset, f"p{patient}", labels=labels)


@st.composite
def cohorts(draw: st.DrawFn) -> list[Sample]:
    patients = draw(st.integers(1, 40))
    rows = [
        (p, draw(st.sampled_from(["0", "1", "2", None])))
        for p in range(patients)
        for _ in range(draw(st.integers(1, 2)))
    ]
    samples = [sample(i, p, label) for i, (p, label) in enumerate(rows)]
    return samples if any(s.labels for s in samples) else [sample(0, 0, "0"), *samples[1:]]


def given_splits(samples) -> dict[str, str]:
    return {s.id: s.split for s in samples}


@given(samples=cohorts(), fractions=FRACTIONS, seed=st.integers(0, 2**32))
def test_patients_stay_together_in_known_splits(samples, fractions, seed):
    done = split_by_patient(samples, fractions, seed, "grade")
    assert [s.id for s in done] == [s.id for s in samples]
    homes: dict[str, set] = {}
    for s in done:
        homes.setdefault(s.patient, set()).add(s.split)
    assert all(len(home) == 1 for home in homes.values())
    assert set().union(*homes.values()) <= set(fractions)
    if len(homes) >= len(fractions):
        assert set().union(*homes.values()) == set(fractions)


@given(samples=cohorts(), fractions=FRACTIONS, seed=st.integers(0, 99), data=st.data())
def test_order_of_rows_and_splits_changes_nothing(samples, fractions, seed, data):
    mixed = data.draw(st.permutations(samples))
    turned = dict(reversed(fractions.items()))
    assert given_splits(split_by_patient(samples, fractions, seed, "grade")) == given_splits(
        split_by_patient(mixed, turned, seed, "grade")
    )


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 20),
    fractions=FRACTIONS,
    seed=st.integers(0, 2**32),
)
def test_every_stratum_has_its_share(sizes, fractions, seed):
    strata = {f"{s}-{i}": str(s) for s, size in enumerate(sizes) for i in range(size)}
    result = assign_groups(strata, fractions, seed)
    total = Counter(result.values())
    for split, share in fractions.items():
        assert abs(total[split] - share * len(strata)) <= 1.0 + 1e-9
        for s, size in enumerate(sizes):
            own = sum(result[g] == split for g, stratum in strata.items() if stratum == str(s))
            assert abs(own - share * size) <= 2.0 + 1e-9


def test_seeds_differ_and_repeat():
    strata = {str(i): "x" for i in range(100)}
    fractions = {"train": 0.8, "val": 0.2}
    drawn = [tuple(sorted(assign_groups(strata, fractions, seed).items())) for seed in range(20)]
    assert len(set(drawn)) == 20
    assert drawn[3] == tuple(sorted(assign_groups(strata, fractions, 3).items()))


def test_each_patient_is_as_likely_as_any_other():
    strata = {str(i): str(i % 3) for i in range(10)}
    chosen = Counter(
        g
        for seed in range(600)
        for g, s in assign_groups(strata, {"train": 0.8, "val": 0.2}, seed).items()
        if s == "val"
    )
    assert all(70 <= chosen[g] <= 180 for g in strata)  # 120 expected


def test_same_number_in_two_data_sets_is_two_people():
    samples = [sample(i, i % 20, "0", "ab"[i // 20]) for i in range(40)]
    done = split_by_patient(samples, {"train": 0.5, "val": 0.5}, 0)
    assert any(done[i].split != done[i + 20].split for i in range(20))


def test_a_patient_counts_by_the_rarest_label():
    rows = [(p, "0") for p in range(20)] + [(p, "4") for p in range(4)]
    done = split_by_patient(
        [sample(i, p, x) for i, (p, x) in enumerate(rows)], {"train": 0.5, "val": 0.5}, 1, ["grade"]
    )
    assert sum(s.split == "val" for s in done if s.labels["grade"] == "4") == 2


@pytest.mark.parametrize(
    "fractions",
    [{}, {"train": 0.5}, {"train": 0.9, "val": 0.2}, {"train": 1.2, "val": -0.2}, {"train": 1.0, "val": 0.0},
     {"train": float("nan"), "val": 0.5}, {"train": 0.8, "valid": 0.2}],
)  # fmt: skip
def test_impossible_fractions(fractions):
    with pytest.raises(ConfigError):
        split_by_patient([sample(0, 0, "1")], fractions, 0)


def test_unknown_label_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'grade'"):
        split_by_patient([sample(0, 0, "1")], {"train": 1.0}, 0, "grad")
