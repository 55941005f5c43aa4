"""Methods with one sub-model a task: one is trained at a time, the others lend their features."""

from medmtl.optim.cooperative.alternating import Alternating
from medmtl.optim.cooperative.mtcl import MTCL

__all__ = ["MTCL", "Alternating"]
