"""A call from Python with a misspelt choice or a value of a wrong kind is refused by name, before any file is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from lesion_world import LesionWorld

import medmtl
from medmtl.errors import ConfigError, EvaluationError
from medmtl.evaluation.rules import CenterDistance, PeakInLesion


@pytest.fixture
def world(tmp_path):
    world = LesionWorld.make(tmp_path / "world")
    world.write()
    return world


def score(world, **more):
    fixed = {"draws": 20, "sanity": False}
    return medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), **(fixed | more))


WRONG = [
    ("outside_field", "refused", "--outside-field", "did you mean 'refuse'?"),
    ("outside_field", None, "--outside-field", "drop"),
    ("missing_masks", "absnt", "--missing-masks", "did you mean 'absent'?"),
    ("other_class", "x", "--other-class", "known: false_positive, ignored"),
    ("other_class", "ignore", "--other-class", "did you mean 'ignored'?"),
    ("duplicates", "false_positives", "--duplicates", "did you mean 'false_positive'?"),
    ("extract", "peeks", "--extract", "did you mean 'peaks'?"),
    ("rules", [5], "--rule", "found 5"),
    ("rules", PeakInLesion, "--rule", "not a hit rule"),
    ("rules", {"iou": 0.1}, "--rule", "not a hit rule"),
    ("rules", [], "--rule", "rules must be different"),
    ("classes", [1], "--class", "not a text"),
    ("classes", {"ex": "ex"}, "--class", "not a text"),
    ("exclude", [None], "--exclude", "not a text"),
    ("ignore", [b"ex"], "--ignore", "not a text"),
    ("split", 1, "--split", "not a text"),
    ("lesion_values", 128, "--lesion-values", "not a text"),
    ("rates", "2", "--rate", "not a usable number"),
    ("rates", ["2"], "--rate", "not a usable number"),
    ("rates", [1.0, True], "--rate", "not a usable number"),
    ("rates", 10**400, "--rate", "not a usable number"),
    ("rates", None, "--rate", "found None"),
    ("rates", float("inf"), "--rate", "above 0"),
    ("show_rate", "2", "--show-rate", "not a usable number"),
    ("draws", 2.5, "--draws", "a whole number of at least 1"),
    ("draws", "many", "--draws", "'many'"),
    ("draws", None, "--draws", "not a usable number"),
    ("seed", 0.5, "--seed", "a whole number of at least 0"),
    ("min_area", 1.5, "--min-area", "a whole number of at least 1"),
    ("min_area", [3], "--min-area", "a value of the type list"),
    ("image_threshold", "0.5", "--image-threshold", "not a usable number"),
    ("sizes", "thirds", "--size-edge", "thirds"),
    ("sizes", 50, "--size-edge", "at least two rising numbers"),
    ("sizes", None, "--size-edge", "at least two rising numbers"),
    ("sizes", ["0", "50"], "--size-edge", "at least two rising numbers"),
    ("lenient", "no", "--lenient", "neither True nor False"),
    ("sanity", None, "--sanity", "neither True nor False"),
    ("overlays", "x", "--overlays", "neither True nor False"),
    ("diaretdb1", "x", "--diaretdb1", "neither True nor False"),
    ("missing_values", "x", "--missing-values", "neither True nor False"),
    ("images", 5, "--images", "not a path"),
    ("pictures", ["a"], "--pictures", "not a path"),
    ("anatomy", object(), "--anatomy", "a value of the type object"),
    ("out", 5, "--out", "not a path"),
    ("against", 5, "--against", "not a path"),
    ("beside", ["x.csv"], "--beside", "rows need names"),
    ("beside", {1: "x.csv"}, "--beside", "not a text"),
    ("beside", {"x": 1}, "--beside", "not a path"),
]


@pytest.mark.parametrize(("name", "value", "where", "said"), WRONG, ids=lambda part: str(part)[:20])
def test_what_means_nothing_is_refused(name, value, where, said, world):
    with pytest.raises(ConfigError) as caught:
        score(world, **{name: value})
    assert str(caught.value).startswith(f"{where}: ")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", "0.5"), ("min_distance", "3"), ("limit", 2.5), ("limit", True)]
)
def test_numbers_of_the_extraction(name, value, world):
    cut = {"extract": "peaks", "min_distance": 2} | {name: value}
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not a usable number"):
        medmtl.lesions(world.path("maps"), world.path("manifest.csv"), draws=20, **cut)


def test_what_is_evaluated_must_be_a_path(world):
    with pytest.raises(ConfigError, match="candidates: not a path; found a value of the type list"):
        medmtl.lesions([world.path("candidates.csv")], world.path("manifest.csv"))
    with pytest.raises(ConfigError, match="--truth: not a path"):
        medmtl.lesions(world.path("candidates.csv"), None)


def test_one_text_number_or_rule_stands_for_a_list_of_one(world):
    listed = score(world, rules=["center_distance"], classes=["ex"], rates=[2.0])
    for rule in ("center_distance", CenterDistance()):
        single = score(world, rules=rule, classes="ex", rates=2.0)
        assert single.result.tasks[0].metrics == listed.result.tasks[0].metrics
    with pytest.raises(ConfigError, match="--exclude: no such mask; found 'disc'"):
        score(world, exclude="disc")
    with pytest.raises(ConfigError, match="--ignore: no such mask; found 'disc'"):
        score(world, ignore="disc")


def test_numbers_of_numpy_are_numbers(world):
    plain = score(world, rates=[1, 2], show_rate=2, min_area=2, image_threshold=0.5, out=world.out)
    others = {"rates": np.array([1.0, 2.0]), "show_rate": np.float32(2), "min_area": np.int64(2), "draws": np.int32(20)}
    again = score(world, **others, image_threshold=np.float64(0.5), out=world.folder / "again")
    assert again.result.tasks[0].metrics == plain.result.tasks[0].metrics


@dataclass(frozen=True)
class Broken:
    """A rule that fails for a reason of its own."""

    name: ClassVar[str] = "broken"
    caption: ClassVar[str] = "Hit: never."

    def hits(self, encounters):
        raise EvaluationError("the rule broke", remedy="mend it")


def test_an_error_of_another_kind_is_not_told_as_one_of_areas(world):
    with pytest.raises(EvaluationError, match=r"^the rule broke; mend it$"):
        score(world, rules=Broken())


def test_a_comparison_takes_single_values_too(world):
    score(world, out=world.out)
    listed = medmtl.lesion_difference(world.out, world.out, classes=["ex"], rates=[2.0], draws=20)
    single = medmtl.lesion_difference(world.out, world.out, classes="ex", rates=2.0, draws=20)
    assert single.result.tasks[0].metrics == listed.result.tasks[0].metrics
