"""Methods that compare the tasks' gradients, through TorchJD: K backward passes, then one direction.

Every method is a function of its arguments that returns a `Rule` (see `table`). TorchJD's `Sum` is ``equal``, which needs
one backward pass alone, and its `Constant` a fixed weighting of the losses.
"""

from medmtl.optim.aggregation import (  # noqa: F401 - they register their methods
    balance,
    cone,
    excess,
    feature_level,
    robust,
    smoothed,
    surgery,
)
from medmtl.optim.aggregation.dual_cone import NonNegativeProjector
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.method import methods

PCGrad = methods.get("pcgrad")

__all__ = ["NonNegativeProjector", "PCGrad", "aggregation"]
