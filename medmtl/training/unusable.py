"""Updates that could not be done: whose images they were, and gradients that are not finite time after time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from medmtl.config import TrainingConfig
from medmtl.data.loading import Batch
from medmtl.errors import TrainingError
from medmtl.optim import LossScale, StepReport
from medmtl.training.standing import Standing
from medmtl.training.windows import WindowSource

PATIENCE = 10
"""Updates in a row whose gradient is not finite after which a run stops: so many are no accident."""

_SHOWN = 8


def image_names(source: WindowSource, window: Sequence[Sequence[Batch]]) -> str:
    """The images of an update, the first of them by name."""
    files = [str(source.image(view.view, int(index))) for batch in window for view in batch for index in view.index]
    rest = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return ", ".join(dict.fromkeys(files[:_SHOWN])) + rest


class OverflowWatch:
    """Looks out for finite losses whose gradient is not: such an update is skipped, and nothing else would say so.

    Under a loss scale (fp16) overflows are how the scale is found: nothing is said of them until it is as small as it
    gets. From then on they count as without a scale.

    Args:
        training: Whether to stop.
        say: Says a line.
        scale: The loss scale, where there is one.
    """

    def __init__(self, training: TrainingConfig, say: Callable[[str], None], scale: LossScale | None = None) -> None:
        self._scale = scale
        self.stops = training.nonfinite == "stop"
        self._say = say
        self._said = False

    def take(self, report: StepReport, standing: Standing) -> TrainingError | None:
        """Notes an update in ``standing``, which counts it already.

        Returns:
            What the run must stop with, once it is saved; None to go on.
        """
        if not report.losses:  # without a label there was nothing to be skipped
            return None
        searching = self._scale is not None and not self._scale.exhausted
        standing.overflows = standing.overflows + 1 if report.skipped and not searching else 0
        if not standing.overflows:
            return None
        where, spoiled = f"step {standing.step}", [t for t, n in report.gradient_norms.items() if not math.isfinite(n)]
        named = f"task '{spoiled[0]}', {where}" if spoiled else where
        if self.stops and standing.overflows >= PATIENCE:
            return TrainingError(
                "the gradient is not finite, though the losses are",
                where=named,
                found=f"{standing.overflows} updates in a row",
                remedy="lower the learning rate, use precision fp32, or set training.nonfinite to skip",
            )
        if not self._said:
            self._said = True
            self._say(f"step skipped: the gradient is not finite, though the losses are: {named}; said once")
        return None
