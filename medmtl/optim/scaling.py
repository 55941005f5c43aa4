"""The factor on the loss that keeps fp16 gradients from vanishing."""

from __future__ import annotations

from typing import Any

from medmtl.optim.checks import check_number

LEAST = 2.0**-24
"""What the factor never falls below; a gradient that is not finite there is so by itself, and not by its scale."""


class LossScale:
    """A dynamic loss scale: halved by an overflow down to `LEAST`, doubled after many steps without one.

    PyTorch's own scaler unscales inside one optimizer; per-task gradients need the plain number.

    Args:
        value: The first factor, at least `LEAST`.
        growth: Factor after ``interval`` steps without overflow.
        backoff: Factor after an overflow.
        interval: Steps without overflow before growth.

    Raises:
        ConfigError: A first factor out of range.
    """

    def __init__(
        self, value: float = 65536.0, *, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000
    ) -> None:
        check_number("loss scale", value, least=LEAST)
        self.value = value
        self.growth = growth
        self.backoff = backoff
        self.interval = interval
        self.good_steps = 0

    @property
    def exhausted(self) -> bool:
        """Whether the factor is as small as it gets: further overflows will not be mended by it."""
        return self.value <= LEAST

    def update(self, *, overflow: bool) -> None:
        """Adapts the factor after a step."""
        self.good_steps = 0 if overflow else self.good_steps + 1
        if overflow:
            self.value = max(self.value * self.backoff, LEAST)
        elif self.good_steps == self.interval:
            self.value *= self.growth
            self.good_steps = 0

    def state_dict(self) -> dict[str, Any]:
        """The factor and the steps since its last change."""
        return {"value": self.value, "good_steps": self.good_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a saved state up again."""
        self.value = max(float(state["value"]), LEAST)
        self.good_steps = int(state["good_steps"])
