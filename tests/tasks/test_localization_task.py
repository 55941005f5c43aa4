"""Localization: loss from image-level labels alone, candidates back in original pixels, truth from cell to figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import log_loss

from medmtl.config import TaskBlock
from medmtl.data.manifest import Manifest
from medmtl.errors import ConfigError
from medmtl.geometry import Geometry
from medmtl.models import ClassMaps
from medmtl.tasks import Localization, Origin, Settings, build_task


def task(**keys: object) -> Localization:
    built = build_task("les", TaskBlock.model_validate({"type": "localization", "classes": ["he", "ma"], **keys}))
    assert isinstance(built, Localization)
    return built


def output(logits: torch.Tensor) -> ClassMaps:
    return ClassMaps(torch.zeros(*logits.shape, 4, 4), logits)


def test_loss_is_scikit_learns_mean_over_known_classes():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(10, 2)), rng.integers(0, 2, (10, 2)).astype(np.float32)
    labels[3, 0] = labels[4] = np.nan
    got = task().loss(output(torch.tensor(logits)), torch.tensor(labels), torch.ones(10, 1, 4, 4))
    want = 0.0
    for row, probability in zip(labels, 1 / (1 + np.exp(-logits)), strict=True):
        known = np.isfinite(row)
        if known.any():
            want += log_loss(row[known], probability[known], labels=[0, 1])
    np.testing.assert_allclose(float(got.sum), want, rtol=1e-5)
    assert got.count == 9


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_unknown_classes_get_no_gradient(seed: int):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 2, generator=rng).requires_grad_()
    target = torch.randint(0, 2, (4, 2), generator=rng).float()
    target[torch.rand(4, 2, generator=rng) < 0.5] = torch.nan
    target[0] = 1
    got = task().loss(output(logits), target, torch.ones(4, 1, 4, 4))
    got.sum.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert ((logits.grad != 0) == ~target.isnan()).all()
    assert got.count == int(task().labelled_rows(target, torch.ones(1)).sum()) == int((~target.isnan()).any(1).sum())


def peak_maps(places: list[tuple[int, int]], cells: int = 16) -> torch.Tensor:
    """A map per class with one bright cell each at (x, y)."""
    maps = torch.full((1, len(places), cells, cells), -4.0)
    for index, (x, y) in enumerate(places):
        maps[0, index, y, x] = 3.0
    return maps


@pytest.mark.parametrize("geometry", [Geometry(300, 400, -50, 0, 400, 64), Geometry(300, 400, 20, 60, 250, 64)])
def test_candidates_come_back_in_original_pixels(geometry: Geometry):
    one = task(candidates={"min_distance": 4, "limit": 3})
    maps = ClassMaps(peak_maps([(3, 9), (12, 5)]), torch.tensor([[1.0, -1.0]]))
    (prediction,) = one.predictions(maps, torch.ones(1, 1, 64, 64))
    assert prediction.maps.shape == (2, 64, 64)
    restored = one.restore(prediction, geometry)
    for candidates, (x, y) in zip(restored.candidates, [(3, 9), (12, 5)], strict=True):
        cell = geometry.side / 16
        want = (np.array([x, y]) + 0.5) * cell - 0.5 + [geometry.left, geometry.top]
        best = np.array([candidates.x[0], candidates.y[0]])
        assert np.abs(best - want).max() <= cell / 2
        back = geometry.to_view(best[None])[0]
        assert np.abs(back - np.rint(back)).max() < 1e-9  # peaks are pixels of the view
    np.testing.assert_array_equal(restored.logits, [1, -1])


def test_no_candidate_outside_the_field():
    field = torch.zeros(1, 1, 64, 64)
    field[..., :32] = 1
    (prediction,) = task().predictions(ClassMaps(peak_maps([(12, 5), (2, 2)]), torch.zeros(1, 2)), field)
    assert all((candidates.x < 32).all() for candidates in prediction.candidates)


def world(folder: Path) -> Path:
    mask = np.zeros((80, 80), np.uint8)
    mask[20:30, 50:60] = 1
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "i.png")
    Image.fromarray(mask).save(folder / "he.png")
    header = "image,id,patient,label:les.he,label:les.ma,label:extra,mask:les.he,mask:les.ma\n"
    rows = [
        "i.png,hit,p,1,0,1,he.png,absent",
        "i.png,miss,q,1,,0,he.png,",
        "i.png,healthy,r,0,0,,absent,absent",
        "i.png,bare,s,,,,,",
    ]
    (folder / "m.csv").write_text(header + "\n".join(rows) + "\n")
    return folder / "m.csv"


def records(one: Localization, folder: Path) -> list[object]:
    places = {"hit": (11, 5), "miss": (2, 13), "healthy": (2, 2), "bare": (2, 2)}
    geometry = Geometry(80, 80, 0, 0, 80, 64)
    found = []
    for sample in Manifest.read(world(folder)).samples:
        x, y = places[sample.id]
        logit = {"hit": 2.0, "miss": 1.0}.get(sample.id, -2.0)
        (prediction,) = one.predictions(
            ClassMaps(peak_maps([(x, y), (1, 1)]), torch.tensor([[logit, -3.0]])), torch.ones(1, 1, 64, 64)
        )
        truth = one.truth(sample, (80, 80))
        origin = Origin(sample.id, sample.patient)
        found.append(one.record(one.restore(prediction, geometry), truth, np.ones((80, 80), bool), origin))
    return found


def test_absent_is_looked_for_and_empty_is_unknown(tmp_path: Path):
    one = task()
    hit, miss, healthy, bare = records(one, tmp_path)
    assert bare is None
    assert hit.matches["ma", "ma", 0.0] is not None  # type: ignore[attr-defined]
    assert miss.matches["ma", "ma", 0.0] is None  # type: ignore[attr-defined]
    assert healthy.matches["he", "he", 0.0] is not None  # type: ignore[attr-defined]
    np.testing.assert_array_equal(miss.labels, [1, np.nan])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(healthy.labels, [0, 0])  # type: ignore[attr-defined]


def test_findings_from_the_manifest_on(tmp_path: Path):
    one = task(readings=[{"map": "he", "column": "extra"}])
    kept = [item for item in records(one, tmp_path) if item is not None]
    found = one.findings(kept, Settings(bootstrap=100))  # type: ignore[arg-type]
    figures = {metric.name: metric for metric in found.metrics}
    assert figures["auc.he"].interval.value == 1
    assert figures["auc.he"].n == 3
    assert figures["auc.he~extra"].n == 2
    assert "auc.ma" not in figures or not np.isfinite(figures["auc.ma"].interval.value)
    assert any(name.startswith("sensitivity_at") and name.endswith(".he") for name in figures)
    assert found.labelled == 3
    assert one.selection(kept)["auc.he"] == 1  # type: ignore[arg-type]
    known = one.evidence(kept)["he"]  # type: ignore[arg-type]
    assert (len(known.absent), len(known.present), len(known.unknown)) == (1, 2, 0)
    assert np.isnan(one.selection([])["auc"])
    assert 0.5 < one.example_score(kept[0], Settings(bootstrap=100)) < 1  # type: ignore[arg-type]


def test_a_lesion_outside_the_given_field_is_not_there_to_be_found(tmp_path: Path):
    """Candidates cannot lie there, so it could only be missed; `medmtl lesions` cuts it off as well."""
    world(tmp_path)
    fov = np.zeros((80, 80), np.uint8)
    fov[:, :55] = 1
    Image.fromarray(fov).save(tmp_path / "fov.png")
    beyond = np.zeros((80, 80), np.uint8)
    beyond[5:9, 60:70] = 1
    beyond[20:30, 50:60] = 1
    Image.fromarray(beyond).save(tmp_path / "he.png")
    header = "image,id,patient,fov,label:les.he,mask:les.he\n"
    (tmp_path / "m.csv").write_text(header + "i.png,given,p,fov.png,1,he.png\ni.png,found,q,,1,he.png\n")
    given, found = (
        task().truth(sample, (80, 80)).lesions["he"] for sample in Manifest.read(tmp_path / "m.csv").samples
    )
    assert given is not None
    assert found is not None
    assert given.area.tolist() == [50]
    assert sorted(found.area.tolist()) == [40, 100]


def test_tolerances_are_pixels_of_the_original_and_stand_beside_each_figure(tmp_path: Path):
    # The lesion is columns 50 to 59; the best candidate of `near` lies at x = (14.5 * 5) - 0.5 = 72, 13 to its right.
    header = "image,id,patient,label:les.he,mask:les.he\n"
    world(tmp_path)
    (tmp_path / "m.csv").write_text(f"{header}i.png,near,p,1,he.png\n")
    (sample,) = Manifest.read(tmp_path / "m.csv").samples
    one = task(classes=["he"], tolerances=[0, 12, 13], candidates={"limit": 1})
    (prediction,) = one.predictions(ClassMaps(peak_maps([(14, 5)]), torch.zeros(1, 1)), torch.ones(1, 1, 64, 64))
    restored = one.restore(prediction, Geometry(80, 80, 0, 0, 80, 64))
    assert 71 <= restored.candidates[0].x[0] < 73
    record = one.record(restored, one.truth(sample, (80, 80)), np.ones((80, 80), bool), Origin("near", "p"))
    assert record is not None
    found = one.findings([record], Settings(bootstrap=100))
    figures = {metric.name: metric for metric in found.metrics}
    reached = [figures[f"cpm.he{end}"].interval.value for end in ("", "+12px", "+13px")]
    assert reached[0] == reached[1] == 0 < reached[2]
    assert "no tolerance" in figures["sensitivity_at_1.he"].unit_note
    assert "at most 13 pixels" in figures["sensitivity_at_1.he+13px"].unit_note
    assert [table.name for table in found.tables] == ["lesions.he", "lesions.he+12px", "lesions.he+13px"]
    assert list(found.tables[2].frame["candidates"]) == ["model", "random points"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "log-sum-exp of the map's cells (r = 4); not additive"),
        ({"pooling": "mean"}, "the mean of the map's cells: additive"),
        ({"pooling": "topk"}, "the mean of the map's highest 2 % of the cells; not additive"),
        ({"pooling": "topk", "top_cells": 3}, "3 highest cells; not additive"),
        ({"pooling": "attention"}, "weighted by gated attention; not additive"),
    ],
)
def test_the_report_names_the_pooling(tmp_path: Path, keys: dict[str, object], said: str):
    one = task(**keys)
    kept = [item for item in records(one, tmp_path) if item is not None]
    notes = one.findings(kept, Settings(bootstrap=100)).notes  # type: ignore[arg-type]
    assert sum(said in note for note in notes) == 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"classes": []}, "at least one class"),
        ({"classes": ["he", "he"]}, "stands twice"),
        ({"lesions": {"ex": {}}}, "no map of this class; found 'ex'"),
        ({"lesions": {"ex": {"maps": ["hee"]}}}, "did you mean 'he'"),
        ({"readings": [{"map": "h", "column": "x"}]}, "no map of this class"),
        ({"readings": [{"map": "he"}]}, "tasks.les.readings.0.column: a required key is missing"),
        ({"stride": 3}, "tasks.les.stride"),
        ({"prior": 1.0}, "less than 1"),
        ({"tolerances": [3, 3]}, "stands twice"),
        ({"tolerances": [-1]}, "tasks.les.tolerances"),
        ({"tolerances": []}, "tasks.les.tolerances"),
        ({"candidates": {"limt": 3}}, "did you mean 'limit'"),
    ],
)
def test_contradictions(keys: dict[str, object], said: str):
    with pytest.raises(ConfigError) as caught:
        task(**keys)
    assert said in str(caught.value)


def test_a_lesion_of_several_columns_is_their_union_and_unknown_where_one_is(tmp_path: Path):
    one = task(lesions={"red": {"columns": ["les.he", "les.ma"], "maps": ["he"]}})
    hit, miss, *_ = Manifest.read(world(tmp_path)).samples
    truth = one.truth(hit, (80, 80))
    assert truth.lesion_mask is not None
    assert truth.lesion_mask.sum() == 100
    assert one.truth(miss, (80, 80)).lesions["red"] is None


def test_a_reading_has_the_threshold_of_the_class_whose_score_is_read(tmp_path: Path):
    one = task(readings=[{"map": "he", "column": "extra"}])
    kept = [item for item in records(one, tmp_path) if item is not None]
    # logits 2 and 1 with labels 1 and 0 of the reading; the probability of 1.5 lies between
    chosen = Settings(bootstrap=100, thresholds={"he": 1 / (1 + float(np.exp(-1.5)))})
    figures = {metric.name: metric for metric in one.findings(kept, chosen).metrics}  # type: ignore[arg-type]
    assert (figures["sensitivity.he~extra"].interval.value, figures["specificity.he~extra"].interval.value) == (1, 1)
    assert figures["sensitivity.he~extra"].n == figures["specificity.he~extra"].n == 1
    none = {metric.name: metric for metric in one.findings(kept, Settings(bootstrap=100)).metrics}  # type: ignore[arg-type]
    assert np.isnan(none["sensitivity.he~extra"].interval.value)


def test_a_class_is_read_from_another_column_where_its_own_is_empty(tmp_path: Path):
    classes = {"dr": {"column": "grade", "positive": [1, 2], "otherwise": {"column": "any_mark"}}}
    one = task(classes=classes, lesions={})
    (tmp_path / "i.png").write_bytes(b"")
    rows = ["i.png,a,2,", "i.png,b,0,1", "i.png,c,,1", "i.png,d,,0", "i.png,e,,"]
    (tmp_path / "m.csv").write_text("image,id,label:grade,label:any_mark\n" + "\n".join(rows) + "\n")
    samples = Manifest.read(tmp_path / "m.csv").samples
    found = [float(one.target.encode(sample)[0]) for sample in samples]
    np.testing.assert_array_equal(found, [1, 0, 1, 0, np.nan])
    assert [one.target.labelled(sample) for sample in samples] == [True, True, True, True, False]
    assert one.target.columns == ("grade", "any_mark")


def test_candidates_are_discs_of_a_cell_or_of_what_was_asked_for():
    geometry = Geometry(300, 400, -50, 0, 400, 64)
    for keys, radius in (
        ({}, 16 / np.sqrt(np.pi)),
        ({"candidates": {"radius": 3}}, 3.0),
        ({"stride": 8}, 8 / np.sqrt(np.pi)),
    ):
        one = task(**keys)
        (prediction,) = one.predictions(
            ClassMaps(peak_maps([(3, 9), (12, 5)]), torch.zeros(1, 2)), torch.ones(1, 1, 64, 64)
        )
        restored = one.restore(prediction, geometry)
        np.testing.assert_allclose(restored.candidates[0].radius, radius * 400 / 64)
    one = task(candidates={"kind": "components", "threshold": 0})
    (prediction,) = one.predictions(
        ClassMaps(peak_maps([(3, 9), (12, 5)]), torch.zeros(1, 2)), torch.ones(1, 1, 64, 64)
    )
    restored = one.restore(prediction, geometry).candidates[0]
    np.testing.assert_allclose(np.pi * restored.radius**2, restored.area)
