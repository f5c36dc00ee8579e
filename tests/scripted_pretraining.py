# SPDX-License-Identifier: Apache-2.0
"""An engine that gives what a self-supervised training would give, without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_dino.ssl import StepValues


class Network(torch.nn.Module):
    """What the handlers ask a network for."""

    def __init__(self, prototypes: int = 16, centered: bool = True) -> None:
        super().__init__()
        self.student = torch.nn.Linear(3, 2)
        self.dino_loss = SimpleNamespace(out_dim=prototypes)
        if centered:
            self.dino_loss.center = torch.full((1, prototypes), 0.5)


def output_of(step: int, **changes: Any) -> dict[str, Any]:
    """The output of a step, counted from 1; each number is a function of it."""
    features = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
    parts = {
        "dino_global": torch.tensor(float(step)),
        "dino_local": torch.tensor(2.0 * step),
        "target_entropy": torch.tensor(2.0),
        "usage_entropy": torch.tensor(1.0),
        "features": features,
    }
    values = StepValues(0.001 * step, 0.0, 0.001 * step, 0.04, 0.99, 0.05, False, False, False)
    return {
        "loss": torch.tensor(3.0 * step),
        "parts": parts,
        "values": values,
        "gradient_norms": {"encoder": torch.tensor(0.5 * step)},
        "images": 4,
    } | changes


def trainer(
    handlers: Sequence[Any],
    output: Callable[[int], dict[str, Any]] = output_of,
    network: torch.nn.Module | None = None,
) -> Engine:
    """An engine with these handlers, whose steps give these outputs."""
    engine = Engine(lambda e, batch: output(e.state.iteration))
    engine.network = network or Network()  # type: ignore[attr-defined]
    for handler in handlers:
        handler.attach(engine)
    engine.add_event_handler(Events.EXCEPTION_RAISED, raising)  # as DinoTrainer does
    return engine


def raising(engine: Engine, error: BaseException) -> None:
    raise error


def run(engine: Engine, epochs: int, length: int, start: int = 0) -> Engine:
    """Runs it, from a step on."""
    if start:
        engine.load_state_dict({"iteration": start, "max_epochs": epochs, "epoch_length": length})
    engine.run(range(length), max_epochs=epochs, epoch_length=length)
    return engine
