# SPDX-License-Identifier: Apache-2.0
"""On one process; tests/ssl/test_distribute.py has two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_dino.engines.over_processes import clip_gradients, mean_over_processes


def parameters(*gradients: list[float] | None) -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(2)) for _ in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor(gradient)
    return made


@pytest.mark.parametrize(("largest", "factor"), [(2.5, 0.5), (5.0, 1.0), (50.0, 1.0)])
def test_gradients_are_scaled_down_to_a_joint_norm(largest: float, factor: float) -> None:
    first, unused, second = parameters([3.0, 0.0], None, [0.0, -4.0])
    assert clip_gradients([first, unused, second], largest) == torch.tensor(5.0)
    torch.testing.assert_close(first.grad, torch.tensor([3.0, 0.0]) * factor)
    torch.testing.assert_close(second.grad, torch.tensor([0.0, -4.0]) * factor)
    assert unused.grad is None


def test_without_gradients_there_is_no_norm() -> None:
    assert clip_gradients(parameters(None, None), 1.0) is None


def test_one_process_keeps_its_numbers() -> None:
    values = {"loss": torch.tensor(2.0), "features": torch.ones(3, 2)}
    found = mean_over_processes(values)
    assert found.keys() == values.keys()
    assert all(found[name] is value for name, value in values.items())
