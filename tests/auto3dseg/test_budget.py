# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine
from monai.engines import Evaluator
from torch import nn
from torch.optim import SGD

from monai_dino.auto3dseg import even_validation
from monai_dino.auto3dseg.budget import VALIDATIONS, Budget
from monai_dino.auto3dseg.even_validation import EvenValidationHandler
from monai_dino.errors import ConfigurationError
from monai_dino.handlers import BudgetHandler


class Validator(Evaluator):
    def __init__(self) -> None:
        self.at: list[int] = []

    def run(self, global_epoch: int = 1) -> None:
        self.at.append(global_epoch)


def train(handlers: list[Any], epochs: int, steps: int, update: Any = lambda engine, batch: None) -> Engine:
    engine = Engine(update)
    for handler in handlers:
        handler.attach(engine)
    engine.run(range(steps), max_epochs=epochs)
    return engine


@pytest.mark.parametrize("arguments", [{}, {"minutes": 1, "steps": 1}, {"minutes": 0}, {"steps": -1}])
def test_one_budget_is_needed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="budget"):
        Budget(**arguments)


@pytest.mark.parametrize("length", [None, 2])
@pytest.mark.parametrize("steps", [1, 7, 8, 20, 100])
def test_exactly_so_many_steps(steps: int, length: int | None) -> None:
    """Whether the budget decides on the length of an epoch, or the number of cases does."""
    budget = Budget(steps=steps)
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    validator = Validator()
    rates: list[float] = []
    engine = train(
        [EvenValidationHandler(validator, VALIDATIONS, max_steps=steps), BudgetHandler(optimizer, max_steps=steps)],
        budget.epochs,
        length or budget.steps_per_epoch,
        lambda engine, batch: rates.append(optimizer.param_groups[0]["lr"]),
    )
    assert engine.state.iteration == len(rates) == steps
    assert validator.at[-1] == engine.state.epoch
    assert len(validator.at) == len(set(validator.at)) <= VALIDATIONS + 1
    assert rates[-1] < 0.6
    assert str(budget) == f"{steps} steps"


def test_validations_follow_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an epoch takes, there are so many validations."""
    for seconds, wanted in ((1.0, [8, 15, 23, 30, 38, 45, 53, 60]), (20.0, [1, 2, 3])):
        clock = [0.0]
        monkeypatch.setattr(even_validation, "time", SimpleNamespace(monotonic=lambda c=clock: c[0]))
        validator = Validator()

        def step(engine: Engine, batch: Any, clock: list[float] = clock, seconds: float = seconds) -> None:
            clock[0] += seconds

        train([EvenValidationHandler(validator, 8, max_minutes=1)], round(60 / seconds), 1, step)
        assert validator.at == wanted


@pytest.mark.parametrize("cost", [0.5, 3.0, 12.0, 100.0])
def test_validations_take_a_fifth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch, cost: float) -> None:
    """But for the first, whose cost nobody knows yet, and the last, which has to be."""
    clock, validating = [0.0], [0.0]
    monkeypatch.setattr(even_validation, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    shares: list[float] = []

    class Slow(Validator):
        def run(self, global_epoch: int = 1) -> None:
            super().run(global_epoch)
            clock[0] += cost
            validating[0] += cost
            shares.append(validating[0] / clock[0])

    def step(engine: Engine, batch: Any) -> None:
        clock[0] += 1.0
        if clock[0] >= 120:
            engine.state.max_epochs = engine.state.epoch

    validator = Slow()
    train([EvenValidationHandler(validator, 8, max_minutes=2)], 1000, 1, step)
    assert all(share <= 0.2 + 1e-9 for share in shares[1:-1])
    assert len(validator.at) == {0.5: 8, 3.0: 8, 12.0: 2, 100.0: 2}[cost]


def test_a_share_of_nothing_is_refused() -> None:
    for arguments in ({"times": 0, "max_steps": 3}, {"times": 3}):
        with pytest.raises(ConfigurationError, match="times="):
            EvenValidationHandler(Validator(), **arguments)
    with pytest.raises(ConfigurationError, match="max_steps=0"):
        BudgetHandler(SGD(nn.Linear(1, 1).parameters()), max_steps=0)
