"""Means of the tasks' gradients, plain and robust; the robust ones come from federated learning."""

from __future__ import annotations

from torch import Tensor
from torchjd.aggregation import KrumWeighting, MeanWeighting, TrimmedMean

from medmtl.optim.aggregation.coordinate_method import CoordinateMethod
from medmtl.optim.aggregation.rule import Rule
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.checks import check_number


@aggregation("mean", paper="-", evidence="definition")
def mean() -> Rule:
    """The mean of the present tasks' gradients on shared parameters, and the plain gradient on all others.

    Compared with the plain sum (one backward pass), shared parameters move 1/K as far. A baseline for methods that
    are a mean where nothing conflicts.
    """
    return Rule(MeanWeighting())


@aggregation("krum", paper="Blanchard et al., NeurIPS 2017")
def krum(*, n_byzantine: int = 0, n_selected: int = 1) -> Rule:
    """The mean of the few gradients that lie closest to their neighbours.

    The score of a task is the sum of the distances to its K - n_byzantine - 2 nearest others; the ``n_selected`` tasks
    of the smallest scores have weight 1/n_selected, the others 0. Made against adversaries in federated learning; as a
    balance of tasks it drops most of them. With fewer than n_byzantine + 3 present tasks it is the mean.

    Args:
        n_byzantine: How many tasks may be outliers, at least 0. Default 0; the library has no default.
        n_selected: How many tasks are kept (at most all present ones), at least 1. Default 1.
    """
    check_number("krum.n_byzantine", n_byzantine, least=0, whole=True)
    check_number("krum.n_selected", n_selected, least=1, whole=True)
    return Rule(KrumOrMean(n_byzantine, n_selected))


class KrumOrMean(KrumWeighting):
    """The library's weighting; the mean where it has too few rows to choose from."""

    def forward(self, gramian: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K)."""
        rows = len(gramian)
        if rows < self.n_byzantine + 3 or rows <= self.n_selected:
            return gramian.new_full((rows,), 1 / rows)
        return super().forward(gramian)  # type: ignore[no-any-return]  # untyped library


@aggregation("trimmed_mean", paper="Yin et al., ICML 2018", frame=CoordinateMethod)
def trimmed_mean(*, trim_number: int = 1) -> Rule:
    """The mean of each coordinate without its largest and smallest entries.

    Made against adversaries in federated learning. On a parameter that too few present tasks reach, as many entries are
    trimmed as leave one or two; with two tasks it is the mean.

    Args:
        trim_number: How many entries are cut at each end, at least 0. Default 1; the library has no default.
    """
    check_number("trimmed_mean.trim_number", trim_number, least=0, whole=True)
    return Rule(TrimmedAsFarAsPossible(trim_number))


class TrimmedAsFarAsPossible(TrimmedMean):
    """The library's aggregator; trims less where it has few rows.

    Args:
        trim_number: How many entries are cut at each end.
    """

    def __init__(self, trim_number: int) -> None:
        super().__init__(trim_number)
        self.wanted = trim_number

    def forward(self, matrix: Tensor, /) -> Tensor:
        """Joined gradient (P,) from the gradients (K, P)."""
        self.trim_number = min(self.wanted, (len(matrix) - 1) // 2)
        return super().forward(matrix)  # type: ignore[no-any-return]  # untyped library
