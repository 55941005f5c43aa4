"""Balancing tasks: one protocol for every method, usable with any PyTorch module.

A `Problem` says what is minimized, a `Method` made by `make_method` does one update on a window of micro-batches,
and `Services` stand between them. Nothing outside this package knows a method by name.
"""

from medmtl.optim.aggregation import PCGrad
from medmtl.optim.base import (
    Batch,
    Buffers,
    Forward,
    Gradients,
    MethodInfo,
    OptimizerFactory,
    Plan,
    Problem,
    SplitProblem,
    StepReport,
    TaskLoss,
    Window,
)
from medmtl.optim.buffers import frozen_buffers
from medmtl.optim.cooperative import Alternating
from medmtl.optim.method import Method, argument_names, make_method, methods
from medmtl.optim.pertask import AdamPerTask, PerTaskAdam
from medmtl.optim.reduction import AllReduce, Reducer, SingleProcess
from medmtl.optim.results import Commit, TaskGradient, WindowLosses
from medmtl.optim.scaling import LossScale
from medmtl.optim.services import Services
from medmtl.optim.weighting import Equal, Famo, UncertaintyWeighting

__all__ = [
    "AdamPerTask",
    "AllReduce",
    "Alternating",
    "Batch",
    "Buffers",
    "Commit",
    "Equal",
    "Famo",
    "Forward",
    "Gradients",
    "LossScale",
    "Method",
    "MethodInfo",
    "OptimizerFactory",
    "PCGrad",
    "PerTaskAdam",
    "Plan",
    "Problem",
    "Reducer",
    "Services",
    "SingleProcess",
    "SplitProblem",
    "StepReport",
    "TaskGradient",
    "TaskLoss",
    "UncertaintyWeighting",
    "Window",
    "WindowLosses",
    "argument_names",
    "frozen_buffers",
    "make_method",
    "methods",
]
