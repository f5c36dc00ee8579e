# SPDX-License-Identifier: Apache-2.0
"""Training within a budget: a warm-up and cosine learning rate over epochs, steps or minutes, whichever ends first."""

from __future__ import annotations

import math
import time

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch.optim import Optimizer

from monai_dino.errors import ConfigurationError

__all__ = ["BudgetHandler"]


class BudgetHandler:
    """Sets the learning rate from the share of the budget that is spent, and ends training when it is.

    The rate of each parameter group rises linearly from 0 to its own value during the warm-up and then falls to 0 along
    half a cosine. Without a limit in minutes it depends on the iteration alone, so that runs repeat; with one, the
    share is that of the time if that is further on. At the limit the epoch is ended, and so validated, at once. The
    processes of a distributed run all go by the clock of the first.

    Args:
        optimizer: whose rates are set; their values now are the peaks.
        warmup: share of the budget that the warm-up takes, from 0 to 1.
        max_minutes: limit on the time of training, validation included; ``None`` for none.
        max_steps: limit on the steps of training; ``None`` for none.

    Raises:
        ConfigurationError: for a warm-up that is not a share, or a limit that is not above 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: float = 0.05,
        max_minutes: float | None = None,
        max_steps: int | None = None,
    ) -> None:
        if not 0 <= warmup <= 1:
            raise ConfigurationError(f"warmup={warmup}: expected a share from 0 to 1")
        if max_minutes is not None and not max_minutes > 0:
            raise ConfigurationError(f"max_minutes={max_minutes}: expected a limit above 0, or null for none")
        if max_steps is not None and max_steps < 1:
            raise ConfigurationError(f"max_steps={max_steps}: expected at least 1, or null for none")
        self.optimizer = optimizer
        self.warmup = warmup
        self.max_minutes = max_minutes
        self.max_steps = max_steps
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.started = 0.0

    def attach(self, engine: Engine) -> None:
        """Registers the handler; attach it after the one that runs validation.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._set_rates)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_when_spent)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._stop_after_validation)

    def _start(self, engine: Engine) -> None:
        self.started = time.monotonic()

    def _set_rates(self, engine: Engine) -> None:
        state = engine.state
        total = (state.max_epochs or 1) * (state.epoch_length or 1)
        total = total if self.max_steps is None else min(total, self.max_steps)
        factor = _warmup_cosine(max((state.iteration - 0.5) / total, self._time_spent()), self.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def _stop_when_spent(self, engine: Engine) -> None:
        if self._spent(engine):
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    def _stop_after_validation(self, engine: Engine) -> None:
        if self._spent(engine):
            engine.state.max_epochs = engine.state.epoch

    def _spent(self, engine: Engine) -> bool:
        return self._time_spent() >= 1 or (self.max_steps is not None and engine.state.iteration >= self.max_steps)

    def _time_spent(self) -> float:
        if self.max_minutes is None:
            return 0.0
        share = (time.monotonic() - self.started) / (60 * self.max_minutes)
        if not (dist.is_available() and dist.is_initialized()):
            return share
        device = self.optimizer.param_groups[0]["params"][0].device
        agreed = torch.tensor(share, dtype=torch.float64, device=device)
        dist.broadcast(agreed, src=0)  # else their rates, and so their weights, would drift apart
        return float(agreed)


def _warmup_cosine(share: float, warmup: float) -> float:
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min((share - warmup) / max(1 - warmup, 1e-9), 1.0)))
