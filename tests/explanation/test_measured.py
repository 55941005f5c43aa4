from __future__ import annotations

import math

import pytest

from medmtl.evaluation import EvaluationResult, Interval, Metric, TaskResult
from medmtl.evaluation.lesionpoint import FALSE_POSITIVES, SENSITIVITY
from medmtl.explanation.measured import NOT_MEASURED, measured_lines, measured_of

FOUND, WRONG = Interval(0.41, 0.32, 0.52), Interval(1.5, 1.0, 2.0)


def result(name, sensitivity=FOUND, rate=WRONG, split="test"):
    metrics = (
        Metric("auc.dr", "AUC", Interval(0.9), 40),
        Metric(f"{SENSITIVITY}.{name}", "s", sensitivity, 136),
        Metric(f"{FALSE_POSITIVES}.{name}", "f", rate, 89),
    )
    tasks = (TaskResult("lesions", "localization", "idrid", metrics), TaskResult("other", "x", "idrid", metrics))
    return EvaluationResult("run", "a" * 12, "idrid.csv", "b", split, "now", 89, tasks)


@pytest.mark.parametrize(
    ("name", "label", "lesion", "tolerance"),
    [
        ("hard_exudates", "hard_exudates", "hard_exudates", ""),
        ("hard_exudates~dr", "dr", "hard_exudates", ""),
        ("red small dots~dr+12.5px", "dr", "red small dots", "12.5px"),
        ("hard_exudates+5px", "hard_exudates", "hard_exudates", "5px"),
    ],
)
def test_figures_are_found_by_the_class_of_the_map(name, label, lesion, tolerance):
    (found,) = measured_of([result(name)], "lesions", label)
    assert (found.lesion, found.tolerance, found.lesions, found.images) == (lesion, tolerance, 136, 89)
    assert (found.sensitivity.value, found.false_positives.value) == (0.41, 1.5)
    assert measured_of([result(name)], "lesions", "elsewhere") == ()
    assert measured_of([result(name)], "no task", label) == ()


def test_lines_name_the_images_and_the_intervals():
    found = measured_of([result("hard_exudates"), result("hard_exudates", split="all")], "lesions", "hard_exudates")
    first, second = measured_lines(found)
    assert first == (
        "idrid, test images: hard_exudates: sensitivity 0.41 (95 % 0.32 to 0.52), 136 lesions; "
        "1.50 (95 % 1.00 to 2.00) false positives per image, 89 images"
    )
    assert second.startswith("idrid, all images: ")


def test_what_was_not_measured_is_said():
    assert measured_lines(()) == (NOT_MEASURED,)
    undefined = Interval(math.nan, method="undefined: no lesion in the images")
    (found,) = measured_of([result("x", sensitivity=undefined, rate=Interval(0.5))], "lesions", "x")
    assert "sensitivity undefined: no lesion in the images, 136 lesions; 0.50 false positives" in str(found)
