# SPDX-License-Identifier: Apache-2.0
"""Validation at even shares of a budget, so that each algorithm is selected from as many moments."""

from __future__ import annotations

import time

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import EndingValidationHandler

__all__ = ["EvenValidationHandler"]

_SHARE_OF_TIME = 0.2


class EvenValidationHandler(EndingValidationHandler):
    """Validates at the end of the first epoch after each of equal shares of the budget, and at the end.

    With an interval in epochs, an algorithm of quick epochs would be validated more often than one of slow epochs, and
    would choose its network from more. Where minutes are the budget, a validation waits until all of them together, it
    included (as long as the one before), take no more than a fifth of the time so far: else a large frozen encoder,
    with many cases to select on, would spend most of a short budget on being measured.

    Args:
        validator: runs the validation.
        times: number of shares.
        max_minutes: the budget in time; ``None`` for none.
        max_steps: the budget in steps; ``None`` for none.

    Raises:
        ConfigurationError: for less than one share, or without a budget.
    """

    def __init__(
        self, validator: Evaluator, times: int, max_minutes: float | None = None, max_steps: int | None = None
    ) -> None:
        super().__init__(1, validator)
        if times < 1 or (max_minutes is None and max_steps is None):
            raise ConfigurationError(f"times={times}: expected at least one share of a budget in minutes or steps")
        self.times = times
        self.max_minutes, self.max_steps = max_minutes, max_steps
        self.started, self.done = 0.0, 0
        self.validating, self.latest = 0.0, 0.0

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        super().attach(engine)

    def __call__(self, engine: Engine) -> None:
        """Validates.

        Args:
            engine: the trainer.
        """
        started = time.monotonic()
        super().__call__(engine)
        self.latest = time.monotonic() - started
        self.validating += self.latest

    def _start(self, engine: Engine) -> None:
        self.started, self.done = time.monotonic(), 0
        self.validating, self.latest = 0.0, 0.0

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        share = 0.0 if self.max_steps is None else engine.state.iteration / self.max_steps
        affordable = True
        if self.max_minutes is not None:
            elapsed = time.monotonic() - self.started
            share = max(share, elapsed / (60 * self.max_minutes))
            affordable = self.validating + self.latest <= _SHARE_OF_TIME * elapsed
        passed = int(share * self.times + 1e-9)
        due = (passed > self.done and affordable) or epoch == engine.state.max_epochs
        self.done = passed if due else self.done
        return due
