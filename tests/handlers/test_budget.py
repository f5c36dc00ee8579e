# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler
from torch.optim import SGD

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import BudgetHandler, budget


class Clock:
    """A clock that stands until it is set forward."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def optimizer(*rates: float) -> SGD:
    return SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=1.0)


def train(handler: BudgetHandler, epochs: int, steps: int, step: Callable[[], None] = lambda: None) -> tuple[Any, Any]:
    """Runs an engine; returns it and the rates of each step."""
    rates: list[list[float]] = []

    def update(engine: Engine, batch: Any) -> None:
        rates.append([group["lr"] for group in handler.optimizer.param_groups])
        step()

    engine = Engine(update)
    handler.attach(engine)
    engine.run(range(steps), max_epochs=epochs)
    return engine, rates


def factor(share: float, warmup: float) -> float:
    if share < warmup:
        return share / warmup
    return math.cos(math.pi / 2 * (share - warmup) / (1 - warmup)) ** 2


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 7), st.floats(0, 0.9))
def test_rates_follow_the_formula(epochs: int, steps: int, warmup: float) -> None:
    handler = BudgetHandler(optimizer(0.1, 0.003), warmup)
    engine, rates = train(handler, epochs, steps)
    total = epochs * steps
    assert engine.state.iteration == len(rates) == total
    for k, found in enumerate(rates):
        expected = factor((k + 0.5) / total, warmup)
        assert found == pytest.approx([0.1 * expected, 0.003 * expected], abs=1e-12)


def test_warm_up_rises_then_the_rates_fall() -> None:
    rates = [r[0] for r in train(BudgetHandler(optimizer(1.0), warmup=0.3), 10, 10)[1]]
    peak = rates.index(max(rates))
    assert peak in (29, 30)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[-1] < 1e-3


def test_warm_up_of_everything() -> None:
    rates = [r[0] for r in train(BudgetHandler(optimizer(1.0), warmup=1.0), 1, 4)[1]]
    assert rates == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])


def test_without_a_limit_the_clock_does_not_matter(clock: Clock) -> None:
    def step() -> None:
        clock.seconds += 1e6

    engine, rates = train(BudgetHandler(optimizer(0.1)), 3, 4, step)
    assert rates == train(BudgetHandler(optimizer(0.1)), 3, 4)[1]
    assert engine.state.iteration == 12


def test_ends_at_the_limit_with_a_validation(clock: Clock, scripted_evaluator: Callable[..., Evaluator]) -> None:
    def step() -> None:
        clock.seconds += 10

    evaluator = scripted_evaluator([0.5, 0.6, 0.7])
    epochs: list[int] = []
    evaluator.add_event_handler(Events.COMPLETED, lambda e: epochs.append(e.state.epoch))
    engine = Engine(lambda e, batch: step())
    BudgetHandler(optimizer(0.1), max_minutes=1).attach(engine)
    ValidationHandler(interval=1, validator=evaluator).attach(engine)
    engine.run(range(4), max_epochs=50)
    assert engine.state.iteration == 6  # of ten seconds each
    assert epochs == [1, 2]
    assert engine.state.epoch == 2


def test_validation_counts(clock: Clock) -> None:
    engine = Engine(lambda e, batch: None)

    @engine.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        clock.seconds += 25

    BudgetHandler(optimizer(0.1), max_minutes=1).attach(engine)

    engine.run(range(4), max_epochs=50)
    # Two validations take 50 s, the third goes over the limit.
    assert (engine.state.epoch, engine.state.iteration) == (3, 12)


def test_rates_follow_the_clock_where_it_is_further_on(clock: Clock) -> None:
    def step() -> None:
        clock.seconds += 6

    _, rates = train(BudgetHandler(optimizer(1.0), warmup=0.05, max_minutes=1), 100, 10, step)
    assert len(rates) == 10
    for k, found in enumerate(rates):
        assert found[0] == pytest.approx(factor(max(k / 10, (k + 0.5) / 1000), 0.05))


def test_limit_that_is_not_reached_changes_nothing(clock: Clock) -> None:
    engine, rates = train(BudgetHandler(optimizer(0.1), max_minutes=60), 2, 5)
    assert rates == train(BudgetHandler(optimizer(0.1)), 2, 5)[1]
    assert engine.state.iteration == 10


def test_processes_follow_the_first_ones_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    # This process is at 10 % of the time, the first one at 50 %, then at the end: asked before and after each step, and
    # after the epoch.
    first = iter([0.5, 0.6, 0.7, 1.0, 1.0])
    asked: list[int] = []

    def broadcast(tensor: torch.Tensor, src: int) -> None:
        asked.append(src)
        tensor.fill_(next(first))

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "broadcast", broadcast)

    def step() -> None:
        clock.seconds = 1006

    engine, rates = train(BudgetHandler(optimizer(1.0), warmup=0.0, max_minutes=1), 10, 10, step)
    assert [r[0] for r in rates] == pytest.approx([factor(0.5, 0), factor(0.7, 0)])
    assert engine.state.iteration == 2
    assert asked == [0] * 5


@pytest.mark.parametrize("warmup", [-0.1, 1.5, float("nan")])
def test_warm_up_is_a_share(warmup: float) -> None:
    with pytest.raises(ConfigurationError, match=f"warmup={warmup}: expected a share from 0 to 1"):
        BudgetHandler(optimizer(0.1), warmup)


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_limit_is_above_zero(minutes: float) -> None:
    with pytest.raises(ConfigurationError, match=f"max_minutes={minutes}: expected a limit above 0, or null for none"):
        BudgetHandler(optimizer(0.1), max_minutes=minutes)
