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
from medmtl.evaluation.froc import CPM_RATES, LENIENT, RETINA_RATES, STRICT, Counting, Froc, Reading, pooled_froc
from medmtl.evaluation.froc_intervals import (
    froc_intervals,
    froc_replicates,
    lesion_precision_interval,
    paired_froc_difference,
)
from medmtl.evaluation.grading import confusion_counts, grading_findings, quadratic_kappa
from medmtl.evaluation.intervals import bootstrap_mean, bootstrap_sums, undefined, wilson
from medmtl.evaluation.labels import Labelled, known_only
from medmtl.evaluation.lesions import Matches, Outcome, match, match_images
from medmtl.evaluation.localization import froc_curve, lesion_findings
from medmtl.evaluation.pixels import PixelCounts, channel_counts, class_counts, image_scores
from medmtl.evaluation.pooling import MatchPool
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
from medmtl.evaluation.rules import (
    HIT_RULES,
    AnyOverlap,
    CenterDistance,
    DiceOverlap,
    HitRule,
    IntersectionOverUnion,
    PeakInLesion,
    hit_rule,
)
from medmtl.evaluation.segmentation import pooled_dice, segmentation_findings
from medmtl.evaluation.targets import Targets, lesion_targets

__all__ = [
    "CPM_RATES",
    "HIT_RULES",
    "LENIENT",
    "RETINA_RATES",
    "STRICT",
    "AnyOverlap",
    "Candidates",
    "CenterDistance",
    "Confusion",
    "Counting",
    "Curve",
    "CurvePoint",
    "DiceOverlap",
    "EvaluationResult",
    "Example",
    "Findings",
    "Froc",
    "HitRule",
    "IntersectionOverUnion",
    "Interval",
    "Labelled",
    "MatchPool",
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
    "lesion_precision_interval",
    "lesion_targets",
    "match",
    "match_images",
    "operating_point",
    "paired_froc_difference",
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
