"""Figures with their intervals from arrays and tables: classification, segmentation, lesions; never a network."""

from __future__ import annotations

from medmtl.evaluation.calibration import brier, calibration_curve, expected_calibration_error
from medmtl.evaluation.candidates import Candidates, components, peaks, random_candidates
from medmtl.evaluation.classification import (
    average_precision,
    binary_findings,
    operating_point,
    precision_recall,
    roc,
    youden_threshold,
)
from medmtl.evaluation.delong import auc, auc_interval, delong_variance
from medmtl.evaluation.examples import pick_examples
from medmtl.evaluation.froc import CPM_RATES, RETINA_RATES, Froc, Reading, froc_intervals, froc_replicates, pooled_froc
from medmtl.evaluation.grading import confusion_counts, grading_findings, quadratic_kappa
from medmtl.evaluation.intervals import bootstrap_mean, bootstrap_sums, undefined, wilson
from medmtl.evaluation.labels import Labelled, known_only
from medmtl.evaluation.lesions import (
    HitRule,
    Matches,
    Outcome,
    PeakInLesion,
    Targets,
    hit_rule,
    lesion_targets,
    match,
)
from medmtl.evaluation.localization import froc_curve, lesion_findings
from medmtl.evaluation.pixels import PixelCounts, channel_counts, class_counts, image_scores
from medmtl.evaluation.regions import Region
from medmtl.evaluation.results import (
    Confusion,
    Curve,
    CurvePoint,
    EvaluationResult,
    Example,
    Findings,
    Interval,
    Metric,
    Table,
    TaskResult,
)
from medmtl.evaluation.segmentation import pooled_dice, segmentation_findings

__all__ = [
    "CPM_RATES",
    "RETINA_RATES",
    "Candidates",
    "Confusion",
    "Curve",
    "CurvePoint",
    "EvaluationResult",
    "Example",
    "Findings",
    "Froc",
    "HitRule",
    "Interval",
    "Labelled",
    "Matches",
    "Metric",
    "Outcome",
    "PeakInLesion",
    "PixelCounts",
    "Reading",
    "Region",
    "Table",
    "Targets",
    "TaskResult",
    "auc",
    "auc_interval",
    "average_precision",
    "binary_findings",
    "bootstrap_mean",
    "bootstrap_sums",
    "brier",
    "calibration_curve",
    "channel_counts",
    "class_counts",
    "components",
    "confusion_counts",
    "delong_variance",
    "expected_calibration_error",
    "froc_curve",
    "froc_intervals",
    "froc_replicates",
    "grading_findings",
    "hit_rule",
    "image_scores",
    "known_only",
    "lesion_findings",
    "lesion_targets",
    "match",
    "operating_point",
    "peaks",
    "pick_examples",
    "pooled_dice",
    "pooled_froc",
    "precision_recall",
    "quadratic_kappa",
    "random_candidates",
    "roc",
    "segmentation_findings",
    "undefined",
    "wilson",
    "youden_threshold",
]
