"""The one way in for aggregation methods: a function of a method's arguments becomes a registered method.

The function's docstring is the method's page, its keyword arguments are the method's arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from medmtl.optim.aggregation.frame import Aggregation
from medmtl.optim.aggregation.gramian_method import GramianMethod
from medmtl.optim.aggregation.rule import Rule
from medmtl.optim.base import MethodInfo
from medmtl.optim.method import methods

Entry: TypeAlias = Callable[..., Rule]

_PLAIN: dict[str, Any] = {
    "family": "aggregation",
    "backward_passes": "K",
    "extra_memory": "K gradients",
    "state": "none",
    "needs_split": False,
    "own_optimizer": False,
    "mixed_precision": "bf16; fp16 with a loss scale, unscaled first; inner products and weights in float64",
    "processes": "losses, counts and each task's gradient are summed first; the draws are the same everywhere",
    "evidence": "library (TorchJD)",
    "clipping": "both",
}


def aggregation(
    name: str, *, paper: str, frame: type[Aggregation] = GramianMethod, **information: Any
) -> Callable[[Entry], Entry]:
    """Registers a method.

    Args:
        name: The name by which it is chosen.
        paper: Where it comes from.
        frame: How its rule is applied.
        **information: What differs from the usual `MethodInfo`.
    """

    def enter(entry: Entry) -> Entry:
        body = {
            "info": MethodInfo(**(_PLAIN | {"name": name, "paper": paper} | information)),
            "entry": staticmethod(entry),
            "__doc__": inspect.cleandoc(entry.__doc__ or ""),
            "__module__": entry.__module__,
            "__signature__": inspect.signature(entry),
        }
        title = "".join(word.capitalize() for word in name.split("_"))
        methods.register(name)(type(title, (frame,), body))
        return entry

    return enter
