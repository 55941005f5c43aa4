"""Candidates as a task asks for them: regions or peaks, none at the field's border, scores that are the map's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medmtl.config import TaskBlock
from medmtl.errors import ConfigError, EvaluationError
from medmtl.evaluation import peaks
from medmtl.models import ClassMaps
from medmtl.tasks import Localization, build_task
from medmtl.tasks.localization_candidates import (
    CandidateConfig,
    barred_places,
    field_width,
    grown,
    map_candidates,
    without_rim,
)


def random_map(seed: int, size: int = 40) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 4, (size, size))
    return ndimage.gaussian_filter(noise, 2).astype(np.float32) * 4


def round_field(size: int = 40) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (y - size / 2 + 0.5) ** 2 + (x - size / 2 + 0.5) ** 2 < (size / 2 - 2) ** 2


def test_the_default_is_what_it_was():
    evidence, field = random_map(0), round_field()
    ours = map_candidates(evidence, CandidateConfig(), field)
    theirs = peaks(evidence, min_distance=13, limit=60, valid=field)
    for name in ("x", "y", "score", "area"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert without_rim(field, 0.0) is field
    assert CandidateConfig().caption == ""


@given(seed=st.integers(0, 1000), threshold=st.floats(-1, 2), higher=st.floats(-1, 3), limit=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_components_are_scipys_regions_with_the_maps_own_values(seed, threshold, higher, limit):
    evidence, field = random_map(seed), round_field()
    asked = CandidateConfig(kind="components", threshold=threshold, limit=limit)
    found = map_candidates(evidence, asked, field, higher)
    regions, count = ndimage.label(field & (evidence >= np.float64(threshold)), np.ones((3, 3)))
    tops = sorted((evidence[regions == label].max() for label in range(1, count + 1)), reverse=True)
    np.testing.assert_allclose(found.score, [top for top in tops if top >= higher][:limit])
    rows, columns = found.y.astype(int), found.x.astype(int)
    np.testing.assert_array_equal(found.score, evidence[rows, columns])
    np.testing.assert_array_equal(found.area, [(regions == label).sum() for label in regions[rows, columns]])


def test_regions_may_be_scored_by_their_mean_at_their_centroid():
    evidence, field = random_map(2), round_field()
    asked = CandidateConfig(kind="components", threshold=0.2, score="mean", position="centroid")
    found = map_candidates(evidence, asked, field)
    regions, count = ndimage.label(field & (evidence >= 0.2), np.ones((3, 3)))
    means = np.sort(ndimage.mean(evidence, regions, range(1, count + 1)))[::-1]
    np.testing.assert_allclose(found.score, means[: asked.limit], rtol=1e-6)
    assert "scored by their mean, placed at their weighted centroid" in asked.caption
    with pytest.raises(ValueError, match="belong to `kind: components`"):
        CandidateConfig(score="mean")


def test_a_threshold_cuts_peaks_and_the_higher_one_counts():
    evidence, field = random_map(1), round_field()
    for own, other in ((0.5, -9.0), (-9.0, 0.5), (0.2, 0.5)):
        found = map_candidates(evidence, CandidateConfig(threshold=own, min_distance=3), field, other)
        everything = peaks(evidence, min_distance=3, limit=60, valid=field).score
        np.testing.assert_array_equal(found.score, everything[everything >= 0.5])


@pytest.mark.parametrize("cut", [False, True], ids=["round", "cut off by the picture"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.25])
def test_the_rim_is_what_lies_near_a_place_outside(cut, share):
    field = round_field(60)
    if cut:
        field = field[12:48]
    kept = without_rim(field, share)
    margin = share * field_width(field)
    assert field_width(field) == field.any(0).sum()
    outside = np.argwhere(~np.pad(field, 1)) - 1
    for row, column in np.argwhere(field):
        distance = np.hypot(*(outside - [row, column]).T).min()
        if abs(distance - margin) > 1e-3:
            assert kept[row, column] == (distance > margin)
    assert not kept[~field].any()


def test_growing_a_mask_adds_what_lies_near_it():
    mask = np.zeros((30, 30), bool)
    mask[10:13, 5:9] = True
    places = np.argwhere(mask)
    wider = grown(mask, 4.2)
    for row, column in np.ndindex(30, 30):
        assert wider[row, column] == (np.hypot(*(places - [row, column]).T).min() <= 4.2)
    assert grown(mask, 0) is mask
    assert not grown(np.zeros((5, 5), bool), 3.0).any()


def task(**candidates: object) -> Localization:
    keys = {"type": "localization", "classes": ["he"], "candidates": candidates}
    built = build_task("les", TaskBlock.model_validate(keys))
    assert isinstance(built, Localization)
    return built


def output(places: dict[tuple[int, int], float]) -> ClassMaps:
    maps = torch.full((1, 1, 16, 16), -4.0)
    for (x, y), value in places.items():
        maps[0, 0, y, x] = value
    return ClassMaps(maps, torch.zeros(1, 1))


def raised(value: float) -> float:
    """What linear interpolation from 16 to 64 pixels leaves of a single cell's value above the -4 around it."""
    return -4 + (value + 4) * 0.875**2


def test_the_rim_and_the_threshold_reach_the_predictions():
    shown, field = output({(1, 8): 5.0, (8, 8): 3.0, (12, 4): -1.0}), torch.ones(1, 1, 64, 64)
    (free,) = task(min_distance=4).predictions(shown, field)
    assert free.candidates[0].score[0] == pytest.approx(raised(5))
    assert free.scores is None
    (inner,) = task(min_distance=4, rim=0.15).predictions(shown, field)
    assert inner.candidates[0].score[0] == pytest.approx(raised(3))
    assert (inner.candidates[0].x > 0.15 * 64 - 1).all()
    (regions,) = task(kind="components", threshold=0).predictions(shown, field)
    assert len(regions.candidates[0]) == 2
    assert regions.scores is not None
    np.testing.assert_array_equal(regions.scores[0], peaks(regions.maps[0], min_distance=13, limit=60).score)


def bump(row: float, column: float, sigma: float = 30.0, height: float = 8.0, side: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2)) - 4


def disc(row: float, column: float, radius: float, side: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


@pytest.mark.parametrize("kind", ["peaks", "components"])
def test_evidence_on_the_disc_leaves_no_ring_of_candidates_around_it(kind):
    """The slope of one bump, cut where the disc ends, has no maximum of its own; a lesion beside the disc stays."""
    everywhere, place = np.ones((96, 96), bool), disc(48, 48, 20)
    settings = CandidateConfig(kind=kind, threshold=0, min_distance=13)
    assert len(map_candidates(bump(48, 48), settings, everywhere)) == 1
    assert len(map_candidates(bump(48, 48), settings, everywhere, barred=place)) == 0
    both = np.maximum(bump(48, 48, 6), bump(48, 73, 2, 6))
    assert len(map_candidates(both, settings, everywhere)) == 2
    (beside,) = map_candidates(both, settings, everywhere, barred=place).x
    assert beside == 73


def test_a_higher_peak_on_the_disc_does_not_drop_the_lesion_near_it():
    both = np.maximum(bump(48, 48, 3), bump(48, 55, 2, 6))
    settings = CandidateConfig(min_distance=13, threshold=0)
    assert map_candidates(both, settings, np.ones((96, 96), bool)).x.tolist() == [48]
    assert map_candidates(both, settings, np.ones((96, 96), bool), barred=disc(48, 48, 5)).x.tolist() == [55]


def test_evidence_on_the_rim_leaves_no_candidate_where_the_rim_ends():
    field = disc(48, 48, 47)
    assert len(map_candidates(bump(48, 3, 10), CandidateConfig(threshold=0), field)) == 1
    rimmed = CandidateConfig(threshold=0, rim=0.1)
    assert len(map_candidates(bump(48, 3, 10), rimmed, field, barred=barred_places(field, rimmed, None))) == 0
    both = barred_places(field, rimmed, disc(48, 48, 5))
    assert both is not None
    np.testing.assert_array_equal(both, (field & ~without_rim(field, 0.1)) | disc(48, 48, 5))


def test_predictions_know_the_places_of_each_image():
    shown = ClassMaps(torch.from_numpy(np.stack([bump(48, 48)] * 2)[:, None]).float(), torch.zeros(2, 1))
    field = torch.ones(2, 1, 96, 96)
    first, second = task(threshold=0).predictions(shown, field, [disc(48, 48, 20), None])
    assert (len(first.candidates[0]), len(second.candidates[0])) == (0, 1)
    assert first.scores is not None
    assert second.scores is not None
    assert (len(first.scores[0]), len(second.scores[0])) == (0, 1)


def test_barred_places_of_another_shape():
    with pytest.raises(EvaluationError, match="map and barred places need one shape"):
        peaks(np.zeros((4, 5)), barred=np.zeros((5, 4), bool))


def test_a_color_scale_is_chosen_on_peaks_whatever_the_threshold():
    from medmtl.tasks import Origin
    from medmtl.tasks.localization_records import LocalizationTruth

    one = task(kind="components", threshold=4)
    records = []
    for name, label in (("a", 0.0), ("b", 1.0)):
        (prediction,) = one.predictions(output({(8, 8): 3.0}), torch.ones(1, 1, 64, 64))
        assert len(prediction.candidates[0]) == 0
        truth = LocalizationTruth(np.array([label], np.float32), np.empty(0, np.float32), {})
        records.append(one.record(prediction, truth, np.ones((64, 64), bool), Origin(name, name)))
    known = one.evidence(records)["he"]
    assert max(known.absent[0]) == max(known.present[0]) == pytest.approx(raised(3))
    notes = one.findings(records, _settings()).notes
    assert any("regions of the map at or above 4; lesions there count as missed" in note for note in notes)


def test_where_no_image_is_known_to_have_a_class_those_of_unknown_label_say_where_the_colors_end():
    from medmtl.explanation.scale import calibrate_scale
    from medmtl.tasks import Origin
    from medmtl.workflows.operating import choose_operating

    one, records = task(min_distance=4), []
    for name, label, height in (("healthy", 0.0, 1.0), ("first", np.nan, 6.0), ("second", np.nan, 3.0)):
        (prediction,) = one.predictions(output({(8, 8): height}), torch.ones(1, 1, 64, 64))
        truth = one.batch_truth(np.array([label], np.float32))
        records.append(one.record(prediction, truth, np.ones((64, 64), bool), Origin(name, name)))
    known = one.evidence(records)["he"]
    assert [len(side) for side in (known.absent, known.present, known.unknown)] == [1, 0, 2]
    scale = choose_operating([one], {one.name: records}).scales[one.name]["he"]
    assert scale == calibrate_scale(
        "he", known.absent, known.unknown, origin="validation: 1 lesion-free images, 2 that may have it"
    )
    assert scale.top > 3
    alone = choose_operating([one], {one.name: records[1:]})
    assert alone.missing == {one.name: {"he": "no validation image is known to be without the class"}}
    alone = choose_operating([one], {one.name: records[:1]})
    assert alone.missing == {one.name: {"he": "no validation image is known to be with the class"}}


def _settings():
    from medmtl.tasks import Settings

    return Settings(bootstrap=100)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "components"}, "components need a `threshold`"),
        ({"kind": "peak"}, "did you mean 'peaks'"),
        ({"threshold": float("nan")}, "tasks.les.candidates.threshold"),
        ({"rim": 0.5}, "tasks.les.candidates.rim"),
        ({"disc": {}}, "neither is given"),
        ({"disc": {"task": "s", "column": "disc"}}, "both are given"),
        ({"disc": {"column": "disc", "label": "disc"}}, "the class of a `task`"),
        ({"disc": {"column": "disc", "margin": -1}}, "tasks.les.candidates.disc.margin"),
    ],
)
def test_contradictions(keys, said):
    with pytest.raises(ConfigError) as caught:
        task(**keys)
    assert said in str(caught.value)
