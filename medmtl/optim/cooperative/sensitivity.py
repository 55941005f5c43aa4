"""How much a task's loss rises where the features that others lend are perturbed."""

from __future__ import annotations

from dataclasses import dataclass

from medmtl.optim.base import Batch, SplitProblem
from medmtl.optim.cooperative.objective import Flatness, Place, turn_loss
from medmtl.optim.cooperative.ownership import part_of


@dataclass(frozen=True, slots=True)
class Rise:
    """S_i(r) = L_i(z_-i + r u) - L_i on one batch; a small one is a flat minimum.

    Attributes:
        loss: L_i, the mean over its labelled samples.
        rise: S_i(r): the mean over directions u of noise, or of the worst direction to first order.
    """

    loss: float
    rise: float


def rise_of(problem: SplitProblem, batch: Batch, task: str, flatness: Flatness, number: int = 0) -> Rise | None:
    """The rise of one task's loss; moves no weight and no buffer.

    Args:
        problem: The sub-models, in the mode in which they are to be looked at (evaluation, in general).
        batch: The samples.
        task: Whose loss.
        flatness: Kind, radius and draws of the perturbation.
        number: Of the first sample: the same number has the same noise whatever the network.

    Returns:
        None where no sample has a label of the task. 0 where nothing is lent.
    """
    found = turn_loss(problem, part_of(problem, batch, task), task, "frozen", flatness, Place(before=number))
    if not found.clean.count:
        return None
    loss = float(found.clean.mean.detach())
    return Rise(loss, float(found.flat.mean.detach()) - loss)
