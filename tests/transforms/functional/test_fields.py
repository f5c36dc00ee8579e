# SPDX-License-Identifier: Apache-2.0
"""Fields are functions of their seeds."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.fields import normal_field


def test_each_field_is_that_of_its_seed() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    found = normal_field(torch.tensor([5, 6, 5]), (2, 30, 31), like)
    assert found.shape == (3, 2, 30, 31)
    assert found.dtype == torch.float64
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    torch.manual_seed(0)
    assert torch.equal(normal_field(torch.tensor([6]), (2, 30, 31), like)[0], found[1])
    assert abs(found.mean()) < 0.05
    assert abs(found.std() - 1) < 0.05
