"""What a report gets of a lesion class."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, peaks, random_candidates
from medmtl.evaluation.froc import LENIENT, Counting, pooled_froc
from medmtl.evaluation.froc_intervals import froc_intervals, lesion_precision_interval
from medmtl.evaluation.lesions import Matches, lesion_targets, match
from medmtl.evaluation.localization import froc_curve, lesion_findings
from medmtl.evaluation.regions import Region
from medmtl.evaluation.strata import by_size
from medmtl.evaluation.targets import Targets


def scene(seed, signal=1.5):
    """A noisy map with bumps on the lesions, and random points, matched to the same lesions."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 40), np.uint8)
    for row, column in rng.integers(3, 36, (int(rng.integers(0, 4)), 2)):
        mask[row - 2 : row + 3, column - 2 : column + 3] = 1
    targets = lesion_targets(mask)
    model = peaks(rng.random((40, 40)) + signal * mask, min_distance=6, limit=20)
    return match(model, targets), match(random_candidates(np.ones((40, 40)), 20, rng), targets)


SCENES = [scene(seed) for seed in range(24)]
MODEL, RANDOM = [pair[0] for pair in SCENES], [pair[1] for pair in SCENES]
PATIENTS = [f"p{i // 2}" for i in range(24)]


def metric(findings, name):
    (found,) = [m for m in findings.metrics if m.name == name]
    return found


def test_figures_are_those_of_the_curve_and_beat_random_points():
    found = lesion_findings(MODEL, groups=PATIENTS, name="ex", comparisons={"random points": RANDOM}, draws=100)
    curve = pooled_froc(MODEL)
    assert metric(found, "sensitivity_at_1.ex").interval.value == curve.sensitivity_at(1).sensitivity
    assert metric(found, "cpm.ex").interval.value == pytest.approx(curve.cpm())
    assert metric(found, "cpm.ex").n == curve.lesions
    assert metric(found, "cpm.ex").unit_note.endswith("hit: the candidate's peak lies in the lesion (no tolerance)")
    frame = found.tables[0].frame.set_index("candidates")
    assert frame.loc["model", "at_1"] > 2 * frame.loc["random points", "at_1"]
    assert frame.loc["model", "duplicates"] == curve.duplicates
    assert (found.labelled, found.unlabelled) == (24, 0)
    assert "no tolerance" in found.curves[0].caption
    assert found.tables[0].note == found.curves[0].caption


@pytest.mark.parametrize(
    ("false", "beyond"),
    [
        (0, "0.125, 0.25, 0.5, 1, 2, 4, 8"),  # every lesion found and nothing else: CPM 1, read beyond the curve's end
        (1, "1, 2, 4, 8"),
        (2, "2, 4, 8"),
        (15, "8"),
        (16, ""),
    ],
)
def test_a_cpm_beyond_the_end_of_the_curve_says_so(false, beyond):
    """Two images, a lesion found at .9 in the first, and some false positives below: the curve ends at false / 2."""
    scores, outcomes = np.array([0.9, *np.linspace(0.5, 0.1, false)]), np.array([1] + [0] * false)
    first = Matches(scores, outcomes, outcomes, 1)
    second = Matches(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64), 0)
    found = metric(lesion_findings([first, second], draws=5), "cpm")
    assert found.interval.value == 1.0
    told = f"; not reached at {beyond}: the curve ends at {false / 2:g}"
    assert found.unit_note.endswith(told) if beyond else "not reached" not in found.unit_note
    none = lesion_findings([second, second], draws=5)
    assert "not reached" not in metric(none, "cpm").unit_note  # without lesions there is no curve to reach anything


def test_drawn_curve_starts_at_the_origin_and_ends_where_the_curve_does():
    curve, exact = froc_curve(MODEL, groups=PATIENTS, draws=50), pooled_froc(MODEL)
    assert (curve.x[0], curve.y[0]) == (0, 0)
    assert (curve.x[-1], curve.y[-1]) == (exact.fppi[-1], exact.sensitivity[-1])
    assert set(zip(curve.x, curve.y, strict=True)) <= set(zip(exact.fppi, exact.sensitivity, strict=True))
    assert set(curve.y) == set(exact.sensitivity)
    assert len(curve.low) == len(curve.x)
    assert all(low <= high for low, high in zip(curve.low, curve.high, strict=True))


def test_unknown_images_are_left_out_and_counted():
    holes = [None if i % 3 == 0 else m for i, m in enumerate(MODEL)]
    kept = [i for i, m in enumerate(holes) if m is not None]
    found = lesion_findings(holes, groups=PATIENTS, comparisons={"random": RANDOM}, draws=50)
    alone = lesion_findings([MODEL[i] for i in kept], groups=[PATIENTS[i] for i in kept], draws=50)
    assert found.metrics == alone.metrics
    assert (found.labelled, found.unlabelled) == (16, 8)
    assert found.tables[0].frame["images"].tolist() == [16, 16]


def test_without_lesions_or_images_the_figures_are_nan_with_a_reason():
    healthy = [m for m in MODEL if not m.lesions]
    for images in (healthy, [], [None, None]):
        found = lesion_findings(images, name="se")
        assert all(math.isnan(m.interval.value) for m in found.metrics)
        assert "no lesion" in metric(found, "cpm.se").interval.method
        assert found.curves == ()
        assert "no FROC" in found.notes[0]


def test_a_rate_beyond_the_curve_says_so():
    found = lesion_findings(MODEL, rates=(1.0, 500.0), draws=20)
    assert "not reached" in metric(found, "sensitivity_at_500").unit_note
    assert "not reached" not in metric(found, "sensitivity_at_1").unit_note
    assert [p.x for p in found.curves[0].points] == [1.0]


def test_a_comparison_on_other_images_is_refused():
    with pytest.raises(EvaluationError, match="same images"):
        lesion_findings(MODEL, comparisons={"random": RANDOM[:-1]}, draws=5)


def test_strict_lenient_lesion_free_and_average_precision_stand_in_the_table():
    found = lesion_findings(MODEL, groups=PATIENTS, comparisons={"random": RANDOM}, draws=40)
    row, curve = found.tables[0].frame.iloc[0], pooled_froc(MODEL)
    for rate in (1, 2, 5, 10):
        assert row[f"at_{rate}_strict"] == row[f"at_{rate}"] == curve.sensitivity_at(rate).sensitivity
        assert row[f"at_{rate}_lenient"] == pooled_froc(MODEL, LENIENT).sensitivity_at(rate).sensitivity
        assert row[f"at_{rate}_lesion_free"] == curve.sensitivity_at(rate, "lesion_free").sensitivity
    assert row["lesion_ap"] == pytest.approx(curve.average_precision)
    assert metric(found, "lesion_ap").interval == lesion_precision_interval(MODEL, PATIENTS, draws=40)
    (each, _) = froc_intervals(MODEL, (1, 2, 5, 10), PATIENTS, draws=40)
    assert [metric(found, f"sensitivity_at_{rate}").interval for rate in (1, 2, 5, 10)] == list(each)


def test_counting_is_followed_everywhere_and_said():
    counting = Counting(lenient=True, duplicates="false_positive")
    found = lesion_findings(MODEL, counting=counting, draws=20)
    curve = pooled_froc(MODEL, counting)
    assert metric(found, "sensitivity_at_2").interval.value == curve.sensitivity_at(2).sensitivity
    assert found.curves[0].x[-1] == curve.fppi[-1]
    assert "finds every lesion it hits" in found.tables[0].note
    assert "false positive" in found.curves[0].caption


@pytest.mark.parametrize("duplicates", ["neither", "false_positive"])
@pytest.mark.parametrize(("lenient", "further"), [(False, 0), (True, 1)])
def test_the_further_hits_that_are_said_are_those_that_the_curve_counts(duplicates, lenient, further):
    """The higher candidate covers both lesions, the other only the second: a hit by strict, a further one by lenient."""
    lesions = [Region.box(2, 2, 3, 3, (20, 20)), Region.box(6, 2, 7, 3, (20, 20))]
    found = Candidates.points([5, 7], [2, 2], [0.9, 0.5], regions=(Region.box(2, 2, 7, 3, (20, 20)), lesions[1]))
    matches = [match(found, Targets.of_regions(lesions, (20, 20)), "any_overlap")]
    curve = pooled_froc(matches, Counting(lenient, duplicates))
    assert curve.false[-1] == (further if duplicates == "false_positive" else 0)
    assert curve.duplicates == further
    (table,) = lesion_findings(matches, counting=curve.counting, draws=5).tables
    assert table.frame.loc[0, "duplicates"] == further
    assert f"{further} further hits on lesions already found" in table.note


def test_tables_by_size_and_site_hold_the_parts():
    sites = ["a" if number < 10 else "b" for number in range(24)]
    holes = [None if number == 3 else one for number, one in enumerate(MODEL)]
    found = lesion_findings(holes, groups=PATIENTS, name="ex", sizes=(0, 26, math.inf), sites=sites, draws=30)
    by_name = {table.name: table.frame for table in found.tables}
    assert list(by_name) == ["lesions.ex", "lesion_sizes.ex", "lesion_sites.ex"]
    known = [one for one in holes if one is not None]
    small = pooled_froc(by_size(known, 0, 26))
    assert by_name["lesion_sizes.ex"].loc[0, "lesions"] == small.lesions
    assert by_name["lesion_sizes.ex"].loc[0, "at_2"] == small.sensitivity_at(2).sensitivity
    assert by_name["lesion_sites.ex"]["images"].tolist() == [9, 14]
    first = pooled_froc([one for one in holes[:10] if one is not None])
    assert by_name["lesion_sites.ex"].loc[0, "at_1"] == first.sensitivity_at(1).sensitivity
    thirds = lesion_findings(MODEL, sizes=True, draws=5).tables[1].frame
    assert thirds["lesions"].sum() == pooled_froc(MODEL).lesions
    with pytest.raises(EvaluationError, match="sites and images"):
        lesion_findings(MODEL, sites=["a"], draws=5)
