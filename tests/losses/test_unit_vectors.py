# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from monai_dino.losses.unit_vectors import unit_vectors


def test_length_and_direction() -> None:
    x = torch.tensor([[[3.0, -4.0], [0, 1e-6]]], dtype=torch.float64)
    expected = torch.tensor([[[0.6, -0.8], [0, 1]]])
    torch.testing.assert_close(unit_vectors(x), expected)


def test_a_vector_without_direction_has_no_gradient() -> None:
    x = torch.tensor([[0.0, 0], [1e-9, 0], [3, 4]], requires_grad=True)
    found = unit_vectors(x)
    assert not found[:2].any()
    found[:, 0].sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[0, 0], [0, 0], [16 / 125, -12 / 125]]))
