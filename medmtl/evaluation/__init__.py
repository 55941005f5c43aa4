"""Figures with their intervals from arrays and tables: classification, segmentation, lesions; never a network."""

from __future__ import annotations

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

__all__ = [
    "Confusion",
    "Curve",
    "CurvePoint",
    "EvaluationResult",
    "Example",
    "Findings",
    "Interval",
    "Metric",
    "Table",
    "TaskResult",
]
