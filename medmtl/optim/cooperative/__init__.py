"""Methods with one sub-model a task: one is trained at a time, the others lend their features."""

from medmtl.optim.cooperative.alternating import Alternating
from medmtl.optim.cooperative.mtcl import MTCL
from medmtl.optim.cooperative.objective import Flatness
from medmtl.optim.cooperative.sensitivity import Rise, rise_of

__all__ = ["MTCL", "Alternating", "Flatness", "Rise", "rise_of"]
