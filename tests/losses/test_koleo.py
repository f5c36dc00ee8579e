# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.losses import KoLeoLoss


def reference(x: torch.Tensor) -> float:
    rows = [row / math.sqrt(sum(row**2)) for row in x.double().numpy()]
    total = 0.0
    for i, row in enumerate(rows):
        total -= math.log(min(math.dist(row, other) for j, other in enumerate(rows) if j != i) + 1e-8)
    return total / len(rows)


def loss_and_gradient(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    loss = KoLeoLoss()(x)
    loss.backward()
    assert x.grad is not None
    return loss.detach(), x.grad


def test_equals_the_original_code(golden: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(KoLeoLoss()(golden["koleo_input"])[None], golden["koleo_loss"], atol=1e-5, rtol=0)


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(2, 8), st.integers(0, 99))
def test_is_the_distance_to_the_nearest_neighbour(batch: int, width: int, seed: int) -> None:
    x = torch.randn(batch, width, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(KoLeoLoss()(x), reference(x), atol=1e-3, rtol=1e-4)


def test_gradient() -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(
        lambda x: KoLeoLoss()(x), torch.randn(5, 4).double().requires_grad_(), eps=1e-3, atol=1e-2, rtol=1e-2
    )


def test_opposite_vectors_are_each_others_neighbours() -> None:
    loss, gradient = loss_and_gradient(torch.tensor([[1.0, 0], [-1.0, 0]]))
    torch.testing.assert_close(loss, torch.tensor(-math.log(2)))
    assert gradient.isfinite().all()


DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])


@DTYPES
@pytest.mark.parametrize("rows", [[0, 0], [0, 0, 0], [0, 1, 0, 2, 2, 2]])
def test_duplicates_are_finite_and_have_no_gradient_of_their_own(dtype: torch.dtype, rows: list[int]) -> None:
    """In float16, the original is infinite here: its 1e-8 is 0."""
    torch.manual_seed(0)
    x = torch.randn(3, 384)[rows].to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradient = loss_and_gradient(x)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert gradient.dtype == dtype
    # What remains comes from neighbours at a real distance; the duplicates' 1 / distance would be above 1e6.
    assert gradient.abs().max() < 1


def test_duplicates_count_as_in_the_original() -> None:
    loss, _ = loss_and_gradient(torch.ones(2, 384))
    assert float(loss) == pytest.approx(-math.log(1e-8 * math.sqrt(384) + 1e-8), abs=1e-4)


@DTYPES
@pytest.mark.parametrize("batch", [0, 1])
def test_one_row_has_no_neighbour(dtype: torch.dtype, batch: int) -> None:
    """In float16, the original is infinite here."""
    loss, gradient = loss_and_gradient(torch.full((batch, 8), torch.finfo(dtype).max, dtype=dtype))
    assert loss == 0
    assert not gradient.any()


@DTYPES
@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_vectors_of_zeros(dtype: torch.dtype, zeros: int) -> None:
    x = torch.randn(4, 8).to(dtype)
    x[:zeros] = 0
    loss, gradient = loss_and_gradient(x)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert not gradient[:zeros].any()


@DTYPES
def test_large_and_small_features(dtype: torch.dtype) -> None:
    x = torch.randn(6, 8)
    expected = KoLeoLoss()(x)
    for scale in (1e-3, 1e3):
        loss, gradient = loss_and_gradient((x * scale).to(dtype))
        torch.testing.assert_close(loss, expected, atol=0.05, rtol=0)
        assert gradient.isfinite().all()


def test_autocast_changes_nothing() -> None:
    x = torch.randn(7, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = KoLeoLoss()(x)
    torch.testing.assert_close(found, KoLeoLoss()(x), atol=0, rtol=0)


def test_a_step_spreads_features() -> None:
    x = torch.randn(8, 4)
    loss, gradient = loss_and_gradient(x)
    assert KoLeoLoss()(x - 0.01 * gradient) < loss


def test_other_shapes() -> None:
    with pytest.raises(ConfigurationError, match=r"x: wanted features of the shape \(B, D\), found \(2, 3, 4\)"):
        KoLeoLoss()(torch.zeros(2, 3, 4))
