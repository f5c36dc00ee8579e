# SPDX-License-Identifier: Apache-2.0
"""Training within a budget: a warm-up and cosine learning rate over epochs or minutes, whichever ends first."""

from __future__ import annotations

import math
import time

from ignite.engine import Engine, Events
from torch.optim import Optimizer

__all__ = ["BudgetHandler"]


class BudgetHandler:
    """Sets the learning rate from the share of the budget that is spent, and ends training when it is.

    The rate of each parameter group rises linearly from 0 to its own value during the warm-up and then falls to 0 along
    half a cosine. Without a limit in minutes it depends on the iteration alone, so that runs repeat; with one, the
    share is that of the time if that is further on. At the limit the epoch is ended, and so validated, at once.

    Args:
        optimizer: whose rates are set; their values when training starts are the peaks.
        warmup: share of the budget that the warm-up takes, from 0 to 1.
        max_minutes: limit on the time of training, validation included; ``None`` for none.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.05, max_minutes: float | None = None) -> None:
        self.optimizer = optimizer
        self.warmup = warmup
        self.max_minutes = max_minutes
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.started = 0.0

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._set_rates)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_when_spent)

    def _start(self, engine: Engine) -> None:
        self.started = time.monotonic()

    def _set_rates(self, engine: Engine) -> None:
        state = engine.state
        total = (state.max_epochs or 1) * (state.epoch_length or 1)
        factor = _warmup_cosine(max((state.iteration - 0.5) / total, self._time_spent()), self.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def _stop_when_spent(self, engine: Engine) -> None:
        if self._time_spent() >= 1:
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    def _time_spent(self) -> float:
        if self.max_minutes is None:
            return 0.0
        return (time.monotonic() - self.started) / (60 * self.max_minutes)


def _warmup_cosine(share: float, warmup: float) -> float:
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min((share - warmup) / max(1 - warmup, 1e-9), 1.0)))
