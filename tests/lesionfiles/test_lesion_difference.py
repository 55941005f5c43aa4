"""medmtl lesiondiff: differences known by hand, the same as --against gives, means over seeds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from lesion_world import CANDIDATES, LesionWorld

import medmtl
from medmtl.cli import run
from medmtl.errors import MedmtlError

RATES = (0.25, 0.5)
DRAWN = {"draws": 200, "seed": 3}


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    made = LesionWorld.make(tmp_path / "world")
    made.write()
    return made


def saved(world: LesionWorld, name: str, left_out: float | None = None, **more) -> Path:
    """An evaluation of the candidates but those of one score; by hand of class ex 1, 2 or 3 of 3 at 0, 1/4 and 1/2."""
    rows = [row for row in CANDIDATES if row[4] != left_out]
    frame = pd.DataFrame(rows, columns=["image", "class", "x", "y", "score"])
    frame.replace({"class": more.pop("renamed", {})}).to_csv(world.folder / f"{name}.csv", index=False)
    options = {"rates": RATES, "draws": 20, "sanity": False, "overlays": False} | more
    truth = options.pop("truth", "manifest.csv")
    medmtl.lesions(world.path(f"{name}.csv"), world.path(truth), out=world.folder / name, **options)
    return world.folder / name


def test_the_difference_by_hand_and_that_of_the_option_against(world: LesionWorld):
    one, other = saved(world, "one"), saved(world, "other", 0.6)
    found = medmtl.lesion_difference(one, other, rates=RATES, **DRAWN).result
    assert [task.task for task in found.tasks] == ["ex, peak_in_lesion", "he, peak_in_lesion"]
    ex, he = (task.tables[0].frame for task in found.tasks)
    assert ex["difference"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert ex["sensitivity"].tolist() == pytest.approx([2 / 3, 1])
    assert he["difference"].tolist() == [0, 0]
    paired = medmtl.lesions(
        world.path("one.csv"),
        world.path("manifest.csv"),
        against=world.path("other.csv"),
        rates=RATES,
        sanity=False,
        **DRAWN,
    )
    frame = next(table.frame for table in paired.result.tasks[0].tables if table.name == "difference.ex")
    columns = ["difference", "low", "high"]
    pd.testing.assert_frame_equal(ex[columns], frame[columns])
    metric = found.tasks[0].metrics[0]
    assert (metric.name, metric.n) == ("difference_at_0.25.ex", 3)


def test_seeds_count_by_their_mean(world: LesionWorld):
    full, less, none = saved(world, "full"), saved(world, "less", 0.6), saved(world, "base", 0.9)
    rates = {"rates": (0.5,), "classes": ["ex"], **DRAWN}
    value = {
        name: medmtl.lesion_difference(side, none, **rates).result.tasks[0].metrics[0].interval.value
        for name, side in {"full": full, "less": less, "both": [full, less]}.items()
    }
    assert value["full"] != value["less"]
    assert value["both"] == pytest.approx((value["full"] + value["less"]) / 2)


def test_classes_belong_together_by_name_whatever_they_were_read_from(world: LesionWorld):
    """The map of a grade against the maps of two lesions."""
    own = saved(world, "own", classes=["ex"])
    grade = saved(world, "grade", renamed={"ex": "dr", "he": "other"}, classes=["ex=dr"])
    (task,) = medmtl.lesion_difference(own, grade, **DRAWN).result.tasks
    assert {metric.interval.value for metric in task.metrics} == {0}


def test_the_command_writes_figures_that_results_can_read(world: LesionWorld, capsys: pytest.CaptureFixture[str]):
    one, other = saved(world, "one"), saved(world, "other", 0.6)
    out = world.folder / "d"
    words = [str(one), "--against", str(other), "--class", "ex", "--rate", "0.5", "--draws", "50", "--out", str(out)]
    assert run(["lesiondiff", *words]) == 0
    said = capsys.readouterr().out
    assert "ex, peak_in_lesion  at 0.5 false positives per image  1.000 and 0.667, difference +0.333" in said
    content = json.loads((out / "metrics.json").read_text())
    assert [one["name"] for one in content["provenance"]["evaluations"]] == ["one"]
    (metric,) = content["results"][0]["tasks"][0]["metrics"]
    assert metric["interval"]["value"] == pytest.approx(1 / 3)
    assert pd.read_csv(out / "difference.csv")["false_positives_per_image"].tolist() == [0.5]


def shorter(world: LesionWorld) -> Path:
    world.manifest[-1]["split"] = "val"
    world.manifest[-2]["patient"] = "p2"
    world.write()
    return saved(world, "less", split="test")


def fewer(world: LesionWorld) -> Path:
    world.manifest[0]["mask:ex"] = "absent"
    world.write()
    return saved(world, "less")


def excluding(world: LesionWorld) -> Path:
    for row in world.manifest:
        row["mask:disc"] = "absent"
    world.write()
    return saved(world, "less", exclude=["disc"])


BAD = {
    "other images": (shorter, {}, "not the images of .* 4 images and 3; only one has d"),
    "other lesions": (fewer, {}, "not the lesions of .* image a: 2 lesions"),
    "no folder": (lambda w: w.folder / "gone", {}, "not a saved evaluation"),
    "a folder of something else": (lambda w: w.folder / "masks", {}, "not a saved evaluation"),
    "no such rule": (lambda w: saved(w, "less"), {"rule": "peak_in_lesio"}, "no such rule.*did you mean"),
    "no such class": (lambda w: saved(w, "less"), {"classes": ["exx"]}, "no such class and rule"),
    "no class in common": (
        lambda w: saved(w, "less", classes=["EX:ex=ex"]),
        {},
        "share no class.*the same names of classes",
    ),
    "another rule": (lambda w: saved(w, "less", rules=["center_distance"]), {}, "share no class under this rule"),
    "hits on others count otherwise": (
        lambda w: saved(w, "less", other_class="ignored"),
        {},
        "not counted like .*--other-class false_positive and ignored.*the same --other-class",
    ),
    "duplicates count otherwise": (
        lambda w: saved(w, "less", duplicates="false_positive"),
        {},
        "--duplicates neither and false_positive",
    ),
    "places are left out": (excluding, {}, "--exclude nothing and disc"),
    "no rate": (lambda w: saved(w, "less"), {"rates": (0.0,)}, "--rate: not a usable number"),
    "a rate twice": (lambda w: saved(w, "less"), {"rates": (1.0, 1.0)}, "rates must be different"),
    "no draw": (lambda w: saved(w, "less"), {"draws": 0}, "--draws"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared_is_refused_in_a_line_and_leaves_nothing(world: LesionWorld, case: str):
    make, options, said = BAD[case]
    one = saved(world, "one")
    other = make(world)
    with pytest.raises(MedmtlError, match=said):
        medmtl.lesion_difference(one, other, out=world.folder / "d", **options)
    assert not (world.folder / "d").exists()


def test_duplicates_are_counted_as_the_evaluations_counted_them(world: LesionWorld):
    """One lesion found twice by the same candidates: against nothing but the first hit, by hand 1 false positive more."""
    rows = [("a", "ex", *CANDIDATES[0][2:4], 0.8 - step / 100) for step in range(3)]
    twice = pd.DataFrame([*CANDIDATES, *rows], columns=["image", "class", "x", "y", "score"])
    twice.to_csv(world.folder / "twice.csv", index=False)
    kept = {"rates": RATES, "draws": 20, "sanity": False, "overlays": False, "duplicates": "false_positive"}
    saved(world, "one")
    for name in ("one", "twice"):
        medmtl.lesions(
            world.path(f"{name}.csv"), world.path("manifest.csv"), out=world.folder / f"{name}-strict", **kept
        )
    strict = [world.folder / f"{name}-strict" for name in ("one", "twice")]
    frame = medmtl.lesion_difference(*strict, classes=["ex"], rates=RATES, **DRAWN).result.tasks[0].tables[0].frame
    alone = medmtl.lesions(
        world.path("one.csv"), world.path("manifest.csv"), against=world.path("twice.csv"), **{**kept, **DRAWN}
    )
    paired = next(table.frame for table in alone.result.tasks[0].tables if table.name == "difference.ex")
    assert frame["difference"].tolist() == pytest.approx(paired["difference"].tolist())
    assert frame["difference"].max() > 0


def test_nothing_to_compare_with(world: LesionWorld):
    with pytest.raises(MedmtlError, match="nothing to compare"):
        medmtl.lesion_difference(saved(world, "one"), [])
