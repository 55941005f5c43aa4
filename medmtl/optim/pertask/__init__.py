"""Methods with an optimizer state of each task: its gradient is normalized by its own moments."""

from medmtl.optim.pertask.adatask import AdaTask
from medmtl.optim.pertask.independent import Independent
from medmtl.optim.pertask.mao import Mao
from medmtl.optim.pertask.optimizer import MultiAdaptiveOptimizer

__all__ = ["AdaTask", "Independent", "Mao", "MultiAdaptiveOptimizer"]
