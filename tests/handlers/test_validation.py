# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import EndingValidationHandler


def validated_epochs(epochs: int, interval: int, stop_in: int | None = None) -> list[int]:
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), [{"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}], nn.Identity()
    )
    trainer, seen = Engine(lambda engine, batch: None), []
    EndingValidationHandler(interval, evaluator).attach(trainer)
    evaluator.add_event_handler(Events.STARTED, lambda engine: seen.append(trainer.state.epoch))

    @trainer.on(Events.ITERATION_COMPLETED)
    def stop(engine: Engine) -> None:  # as the budget does
        if engine.state.epoch == stop_in:
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    trainer.run([0, 1], max_epochs=epochs)
    return seen


@pytest.mark.parametrize(
    ("epochs", "interval", "expected"), [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (1, 3, [1]), (3, 1, [1, 2, 3])]
)
def test_last_epoch_is_validated_once(epochs: int, interval: int, expected: list[int]) -> None:
    assert validated_epochs(epochs, interval) == expected


def test_end_of_the_budget_is_validated() -> None:
    assert validated_epochs(100, 5, stop_in=7) == [5, 7]


def test_interval_is_at_least_one() -> None:
    with pytest.raises(ConfigurationError, match="val_interval=0: expected at least 1 epoch"):
        EndingValidationHandler(0)
