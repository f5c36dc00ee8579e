# SPDX-License-Identifier: Apache-2.0
"""The budget that each training of a comparison has."""

from __future__ import annotations

from dataclasses import dataclass

from monai_dino.errors import ConfigurationError

__all__ = ["VALIDATIONS", "Budget"]

VALIDATIONS = 8
"""Times that a network is validated during a training."""

_STEPS_PER_EPOCH = 10  # where time is the budget; an epoch is only the time between looks at the clock


@dataclass(frozen=True)
class Budget:
    """Minutes or steps, the same for every algorithm and fold.

    Attributes:
        minutes: time of a training, its validations included; ``None`` for none.
        steps: steps of the optimiser; ``None`` for none.

    Raises:
        ConfigurationError: when not exactly one of the two is given, or it is not above 0.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ConfigurationError("budget: give minutes or steps, one of the two")
        if not (self.minutes or self.steps or 0) > 0:
            raise ConfigurationError(f"budget: {self}, expected more than nothing")

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.minutes is None else f"{self.minutes:g} minutes"

    @property
    def steps_per_epoch(self) -> int:
        """Steps between two looks at whether a validation is due."""
        return _STEPS_PER_EPOCH if self.steps is None else max(1, self.steps // VALIDATIONS)

    @property
    def epochs(self) -> int:
        """An upper limit on the epochs, each of which has at least one step."""
        return 100_000 if self.steps is None else self.steps
