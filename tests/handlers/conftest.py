# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from ignite.metrics import Metric
from monai.engines import Evaluator


class _Scripted(Metric):
    def __init__(self, values: Sequence[float]) -> None:
        self.values = iter(values)
        super().__init__()

    def reset(self) -> None: ...

    def update(self, output: Any) -> None: ...

    def compute(self) -> float:
        return next(self.values)


@pytest.fixture
def scripted_evaluator() -> Callable[..., Evaluator]:
    """Makes an evaluator whose key metric, ``val``, has the given values, run after run."""

    def make(values: Sequence[float], handlers: Sequence[Any] = ()) -> Evaluator:
        return Evaluator(
            device=torch.device("cpu"),
            val_data_loader=[0],
            iteration_update=lambda engine, batch: 0,
            key_val_metric={"val": _Scripted(values)},
            val_handlers=list(handlers) or None,
            decollate=False,
        )

    return make
