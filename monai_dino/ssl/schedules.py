# SPDX-License-Identifier: Apache-2.0
"""The values that change from step to step, each a function of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from monai_dino.errors import ConfigurationError
from monai_dino.ssl.settings import SslSettings

__all__ = ["Schedules", "StepValues", "cosine"]


def cosine(step: int, total: int, start: float, end: float, warmup: int = 0, warmup_start: float = 0.0) -> float:
    """A linear warm-up, then half a cosine (CosineScheduler of DINO and DINOv2).

    Args:
        step: counted from 0.
        total: steps of the run; the value stays at ``end`` afterwards.
        start: value after the warm-up.
        end: value that the cosine approaches.
        warmup: steps of the warm-up; at its last one ``start`` is reached.
        warmup_start: value at the first step of the warm-up.

    Returns:
        The value at the step.
    """
    if step >= total:
        return end
    if step < warmup:
        return warmup_start + (start - warmup_start) * (step / (warmup - 1) if warmup > 1 else 0.0)
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@dataclass(frozen=True)
class StepValues:
    """What holds in one step.

    Attributes:
        learning_rate: before the factors of the parameter groups.
        last_layer_rate: the same for the prototypes.
        encoder_rate: the same for the encoder, which rises once more when the heads no longer learn alone.
        weight_decay: before the factors of the parameter groups.
        momentum: of the teacher's average after the step.
        teacher_temp: temperature of the teacher's softmax.
        encoder_frozen: whether the heads learn alone.
        gram: whether Gram anchoring is on.
        gram_refresh: whether the Gram teacher is taken anew before the step.
    """

    learning_rate: float
    last_layer_rate: float
    encoder_rate: float
    weight_decay: float
    momentum: float
    teacher_temp: float
    encoder_frozen: bool
    gram: bool
    gram_refresh: bool


class Schedules:
    """The values of each step of a run.

    Args:
        settings: resolved settings.
        total: steps of the run.

    Raises:
        ConfigurationError: for settings that are not resolved, or a run without steps.
    """

    def __init__(self, settings: SslSettings, total: int) -> None:
        if (
            settings.learning_rate is None
            or settings.min_learning_rate is None
            or settings.encoder_rate is None
            or settings.head_warmup is None
        ):
            raise ConfigurationError("settings: learning rates or head_warmup are open; call resolved() first")
        if total < 1:
            raise ConfigurationError(f"the run has {total} steps; expected at least one")
        self.settings = settings
        self.total = total
        self._peak, self._least = settings.learning_rate, settings.min_learning_rate
        self._encoder = settings.encoder_rate
        self._warmup = round(settings.warmup * total)
        self._temp_warmup = round(settings.teacher_temp_warmup * total)
        self._frozen_last = round(settings.freeze_last_layer * total)
        self._head_warmup = round(settings.head_warmup * total)
        self._gram_start = round(settings.gram_start * total) if settings.gram_weight else total

    def __call__(self, step: int) -> StepValues:
        """The values of a step.

        Args:
            step: counted from 0.

        Returns:
            The values.
        """
        s, total = self.settings, self.total
        rate = cosine(step, total, self._peak, self._least, self._warmup)
        since = step - self._gram_start
        return StepValues(
            learning_rate=rate,
            last_layer_rate=0.0 if step < self._frozen_last else rate,
            encoder_rate=rate * self._encoder * self._wake(step),
            weight_decay=cosine(step, total, s.weight_decay, s.weight_decay_end),
            momentum=cosine(step, total, s.momentum, s.momentum_end),
            teacher_temp=cosine(
                step, self._temp_warmup, s.teacher_temp, s.teacher_temp, self._temp_warmup, s.teacher_temp_start
            ),
            encoder_frozen=step < self._head_warmup,
            gram=since >= 0,
            gram_refresh=since >= 0 and since % s.gram_refresh == 0 and since <= s.gram_refreshes * s.gram_refresh,
        )

    def _wake(self, step: int) -> float:
        """Factor of the encoder's rate: after the heads' warm-up it begins with a warm-up of its own.

        At that moment the rate is at its peak and the optimiser knows nothing of the encoder's gradients yet; at once
        at full rate, its first steps would undo much of what the weights hold.
        """
        if not self._head_warmup or not self._warmup:
            return 1.0
        return min(max((step - self._head_warmup + 1) / self._warmup, 0.0), 1.0)
