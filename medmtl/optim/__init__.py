"""Balancing tasks: one protocol for every method, usable with any PyTorch module.

A `Problem` says what is minimized, a `Method` made by `make_method` does one update on a window of micro-batches,
and `Services` stand between them. Nothing outside this package knows a method by name.
"""

from medmtl.optim.aggregation import PCGrad
from medmtl.optim.analysis import Conflict, UpdateShares, conflict, conflicts, module_of, spread, squared_updates
from medmtl.optim.base import (
    Batch,
    Buffers,
    FeatureProblem,
    Forward,
    Gradients,
    MethodInfo,
    OptimizerFactory,
    PartedProblem,
    Plan,
    Problem,
    SplitProblem,
    StepReport,
    TaskLoss,
    WeightSplitProblem,
    Window,
)
from medmtl.optim.buffers import frozen_buffers
from medmtl.optim.checks import LossNotFinite, LossNotFiniteAfterStep, LossOutOfRange, LossUnusable, WeightsUnusable
from medmtl.optim.cooperative import MTCL, Alternating, Flatness, Rise, rise_of
from medmtl.optim.method import Method, argument_names, make_method, methods
from medmtl.optim.pertask import AdaTask, Independent, Mao, MultiAdaptiveOptimizer
from medmtl.optim.plain import PlainProblem, SampleLoss, known_rows
from medmtl.optim.probe import Probe, samples_of
from medmtl.optim.reduction import AllReduce, Reducer, SingleProcess
from medmtl.optim.results import Commit, TaskGradient, WindowLosses
from medmtl.optim.scaling import LossScale
from medmtl.optim.services import Services
from medmtl.optim.streams import GradientStream
from medmtl.optim.weighting import (
    DualBalancing,
    DynamicWeightAverage,
    Equal,
    Famo,
    FixedWeights,
    GeometricLossStrategy,
    GradNorm,
    ImpartialLossBalance,
    LearnedWeighting,
    LossWeighting,
    OptimalUncertaintyWeighting,
    RandomLossWeighting,
    SmoothTchebycheff,
    SoftOptimalUncertaintyWeighting,
    UncertaintyWeighting,
)

__all__ = [
    "MTCL",
    "AdaTask",
    "AllReduce",
    "Alternating",
    "Batch",
    "Buffers",
    "Commit",
    "Conflict",
    "DualBalancing",
    "DynamicWeightAverage",
    "Equal",
    "Famo",
    "FeatureProblem",
    "FixedWeights",
    "Flatness",
    "Forward",
    "GeometricLossStrategy",
    "GradNorm",
    "GradientStream",
    "Gradients",
    "ImpartialLossBalance",
    "Independent",
    "LearnedWeighting",
    "LossNotFinite",
    "LossNotFiniteAfterStep",
    "LossOutOfRange",
    "LossScale",
    "LossUnusable",
    "LossWeighting",
    "Mao",
    "Method",
    "MethodInfo",
    "MultiAdaptiveOptimizer",
    "OptimalUncertaintyWeighting",
    "OptimizerFactory",
    "PCGrad",
    "PartedProblem",
    "PlainProblem",
    "Plan",
    "Probe",
    "Problem",
    "RandomLossWeighting",
    "Reducer",
    "Rise",
    "SampleLoss",
    "Services",
    "SingleProcess",
    "SmoothTchebycheff",
    "SoftOptimalUncertaintyWeighting",
    "SplitProblem",
    "StepReport",
    "TaskGradient",
    "TaskLoss",
    "UncertaintyWeighting",
    "UpdateShares",
    "WeightSplitProblem",
    "WeightsUnusable",
    "Window",
    "WindowLosses",
    "argument_names",
    "conflict",
    "conflicts",
    "frozen_buffers",
    "known_rows",
    "make_method",
    "methods",
    "module_of",
    "rise_of",
    "samples_of",
    "spread",
    "squared_updates",
]
