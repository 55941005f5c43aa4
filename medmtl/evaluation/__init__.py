"""Figures with their intervals from arrays and tables: classification, segmentation, lesions; never a network."""

from __future__ import annotations

from medmtl.evaluation.auc_difference import AucDifference, delong_test
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
from medmtl.evaluation.diaretdb1 import OfficialRoc, flagged_share, image_roc, image_truth
from medmtl.evaluation.examples import pick_examples
from medmtl.evaluation.froc import CPM_RATES, LENIENT, RETINA_RATES, STRICT, Counting, Froc, Reading, pooled_froc
from medmtl.evaluation.froc_intervals import (
    froc_intervals,
    froc_replicates,
    lesion_precision_interval,
    mean_froc_difference,
    paired_froc_difference,
)
from medmtl.evaluation.grading import confusion_counts, grading_findings, quadratic_kappa
from medmtl.evaluation.intervals import bootstrap_mean, bootstrap_sums, undefined, wilson
from medmtl.evaluation.labels import Labelled, known_only
from medmtl.evaluation.lesions import Matches, Outcome, match, match_images
from medmtl.evaluation.levels import HALF, PixelLevels, dice_thresholds, pixel_levels
from medmtl.evaluation.localization import froc_curve, lesion_findings
from medmtl.evaluation.pixelroc import pixel_roc
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
from medmtl.evaluation.sanity import (
    blob_candidates,
    center_candidates,
    constant_candidates,
    covered_share,
    field_discs,
    random_discs,
)
from medmtl.evaluation.segmentation import pooled_dice, segmentation_findings
from medmtl.evaluation.strata import by_site, by_size, size_edges
from medmtl.evaluation.targets import Targets, lesion_targets
from medmtl.evaluation.unions import LESION_GROUPS, group_targets, union_targets

__all__ = [
    "CPM_RATES",
    "HALF",
    "HIT_RULES",
    "LENIENT",
    "LESION_GROUPS",
    "RETINA_RATES",
    "STRICT",
    "AnyOverlap",
    "AucDifference",
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
    "OfficialRoc",
    "Outcome",
    "PeakInLesion",
    "PixelCounts",
    "PixelLevels",
    "Reading",
    "Region",
    "Table",
    "Targets",
    "TaskResult",
    "auc",
    "auc_interval",
    "average_precision",
    "binary_findings",
    "blob_candidates",
    "bootstrap_mean",
    "bootstrap_sums",
    "brier",
    "by_site",
    "by_size",
    "calibration_curve",
    "center_candidates",
    "channel_counts",
    "class_counts",
    "components",
    "confusion_counts",
    "constant_candidates",
    "covered_share",
    "delong_test",
    "delong_variance",
    "dice_thresholds",
    "expected_calibration_error",
    "field_discs",
    "flagged_share",
    "froc_curve",
    "froc_intervals",
    "froc_replicates",
    "grading_findings",
    "group_targets",
    "hit_rule",
    "image_roc",
    "image_scores",
    "image_truth",
    "known_only",
    "lesion_findings",
    "lesion_precision_interval",
    "lesion_targets",
    "match",
    "match_images",
    "mean_froc_difference",
    "operating_point",
    "paired_froc_difference",
    "peaks",
    "pick_examples",
    "pixel_levels",
    "pixel_roc",
    "pooled_dice",
    "pooled_froc",
    "precision_recall",
    "quadratic_kappa",
    "random_candidates",
    "random_discs",
    "roc",
    "segmentation_findings",
    "size_edges",
    "undefined",
    "union_targets",
    "wilson",
    "youden_threshold",
]
