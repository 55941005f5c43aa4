"""Methods that weigh losses: `frame` and `learned` hold what they share, and each other file is one idea."""

from medmtl.optim.weighting.db_mtl import DualBalancing
from medmtl.optim.weighting.dwa import DynamicWeightAverage
from medmtl.optim.weighting.equal import Equal, FixedWeights
from medmtl.optim.weighting.famo import Famo
from medmtl.optim.weighting.frame import LossWeighting
from medmtl.optim.weighting.geometric import GeometricLossStrategy, ImpartialLossBalance
from medmtl.optim.weighting.gradnorm import GradNorm
from medmtl.optim.weighting.learned import LearnedWeighting
from medmtl.optim.weighting.rlw import RandomLossWeighting
from medmtl.optim.weighting.stch import SmoothTchebycheff
from medmtl.optim.weighting.uncertainty import (
    OptimalUncertaintyWeighting,
    SoftOptimalUncertaintyWeighting,
    UncertaintyWeighting,
)

__all__ = [
    "DualBalancing",
    "DynamicWeightAverage",
    "Equal",
    "Famo",
    "FixedWeights",
    "GeometricLossStrategy",
    "GradNorm",
    "ImpartialLossBalance",
    "LearnedWeighting",
    "LossWeighting",
    "OptimalUncertaintyWeighting",
    "RandomLossWeighting",
    "SmoothTchebycheff",
    "SoftOptimalUncertaintyWeighting",
    "UncertaintyWeighting",
]
