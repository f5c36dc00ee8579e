# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.losses import DinoLoss
from monai_dino.losses.centering import CenteredLoss, sinkhorn_knopp

Sizes = st.integers(1, 7)


def log_sum(values: np.ndarray) -> float:
    return values.max() + math.log(sum(math.exp(v - values.max()) for v in values))


def reference(logits: torch.Tensor, temperature: float, iterations: int) -> np.ndarray:
    """Sinkhorn-Knopp by its definition, on logarithms: each column to equal sums, each row to sums of 1, in turn."""
    q = logits.double().numpy() / temperature
    for _ in range(iterations):
        for k in range(q.shape[1]):
            q[:, k] -= log_sum(q[:, k])
        for b in range(q.shape[0]):
            q[b] -= log_sum(q[b])
    return np.exp(q)


@settings(deadline=None)
@given(Sizes, Sizes, st.floats(0.04, 1), st.integers(1, 5), st.sampled_from([0.1, 1, 10, 300]), st.integers(0, 99))
def test_sinkhorn_knopp_is_its_definition(
    rows: int, prototypes: int, temperature: float, iterations: int, scale: float, seed: int
) -> None:
    logits = scale * torch.randn(rows, prototypes, generator=torch.Generator().manual_seed(seed))
    found = sinkhorn_knopp(logits, temperature, iterations)
    assert found.dtype == torch.float32
    # float32 resolves logits / temperature to 1e-7 of their size, and an error there is a relative one here.
    tolerance = 1e-5 + 1e-6 * scale / temperature
    np.testing.assert_allclose(found, reference(logits, temperature, iterations), atol=tolerance)
    np.testing.assert_allclose(found.sum(dim=1), 1, atol=1e-5)


def test_many_turns_use_all_prototypes_alike() -> None:
    logits = 0.3 * torch.randn(40, 8)
    logits[:, 0] += 1  # every row likes this one best
    shares = sinkhorn_knopp(logits, 0.1, 100).mean(dim=0)
    torch.testing.assert_close(shares, torch.full((8,), 1 / 8), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shift", [-1e4, -100, 100, 1e4])
def test_a_prototype_that_all_rows_like_or_dislike_alike_changes_nothing(shift: float) -> None:
    logits = torch.randn(6, 5)
    shifted = logits.clone()
    shifted[:, 2] += shift
    torch.testing.assert_close(sinkhorn_knopp(shifted, 1), sinkhorn_knopp(logits, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.zeros(3, 4, dtype=dtype)
    logits[0] = 6e4
    logits[1] = -6e4
    logits[2, 1], logits[2, 3] = 6e4, -6e4
    found = sinkhorn_knopp(logits, 0.04)
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))


def test_identical_rows_are_spread_evenly() -> None:
    found = sinkhorn_knopp(torch.tensor([[1.0, -2, 0.5]]).expand(4, 3), 0.05)
    torch.testing.assert_close(found, torch.full((4, 3), 1 / 3))


def test_autocast_changes_nothing() -> None:
    logits = torch.randn(5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = sinkhorn_knopp(logits, 0.05)
    torch.testing.assert_close(found, sinkhorn_knopp(logits, 0.05), atol=0, rtol=0)


@pytest.mark.parametrize("centering", ["softmax", "sinkhorn_knopp"])
def test_targets_have_no_gradient_and_leave_the_logits_alone(centering: str) -> None:
    loss = DinoLoss(5, centering=centering)
    logits = torch.randn(2, 3, 5, requires_grad=True)
    before = logits.detach().clone()
    targets = loss.targets(logits, 0.05)
    assert targets.shape == (2, 3, 5)
    assert not targets.requires_grad
    assert torch.equal(logits, before)


@pytest.mark.parametrize("centering", ["softmax", "sinkhorn_knopp"])
def test_a_lower_temperature_sharpens(centering: str) -> None:
    loss, logits = DinoLoss(16, centering=centering).eval(), torch.randn(2, 3, 16)
    warm, cold = (loss.targets(logits, temperature).amax(dim=-1) for temperature in (0.5, 0.04))
    assert cold.mean() > warm.mean() + 0.1


@settings(deadline=None)
@given(Sizes, Sizes, st.floats(0, 1), st.integers(0, 99))
def test_softmax_centring_uses_the_centre_and_then_moves_it(views: int, batch: int, momentum: float, seed: int) -> None:
    torch.manual_seed(seed)
    loss = CenteredLoss(6, centering="softmax", center_momentum=momentum)
    center = np.zeros(6)
    for _ in range(3):
        logits = torch.randn(views, batch, 6)
        rows = logits.double().numpy().reshape(-1, 6)
        expected = np.array([np.exp((row - center) / 0.2) / sum(np.exp((row - center) / 0.2)) for row in rows])
        found = loss.targets(logits, 0.2)
        np.testing.assert_allclose(found.reshape(-1, 6), expected, atol=1e-5)
        center = momentum * center + (1 - momentum) * sum(rows) / len(rows)
        np.testing.assert_allclose(loss.center[0], center, atol=1e-6)


def test_evaluation_leaves_the_centre() -> None:
    loss = CenteredLoss(4, centering="softmax").eval()
    loss.targets(torch.ones(3, 4), 0.1)
    assert not loss.center.any()


def test_the_centre_is_in_the_state() -> None:
    loss = CenteredLoss(4, centering="softmax")
    loss.targets(torch.randn(3, 4).half(), 0.1)
    assert loss.center.dtype == torch.float32
    other = CenteredLoss(4, centering="softmax")
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.center, loss.center)
    assert other.center.any()
    assert not CenteredLoss(4).state_dict()


@pytest.mark.parametrize("centering", ["softmax", "sinkhorn_knopp"])
def test_no_rows(centering: str) -> None:
    loss = CenteredLoss(4, centering=centering)
    assert loss.targets(torch.zeros(0, 4), 0.1).shape == (0, 4)
    if centering == "softmax":
        assert torch.equal(loss.center, torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("out_dim", 0),
        ("student_temp", 0),
        ("student_temp", math.nan),
        ("centering", "centre"),
        ("center_momentum", 1.5),
        ("sinkhorn_iterations", 0),
    ],
)
def test_settings_out_of_range(name: str, value: Any) -> None:
    settings = {"out_dim": 4} | {name: value}
    with pytest.raises(ConfigurationError, match=f"{name}: .*{value}"):
        CenteredLoss(**settings)


def test_arguments_out_of_range() -> None:
    with pytest.raises(ConfigurationError, match=r"temperature: wanted a number above 0, found -0\.1"):
        CenteredLoss(4).targets(torch.zeros(2, 4), -0.1)
    with pytest.raises(ConfigurationError, match=r"logits: wanted a last dimension of 4 .* found the shape \(2, 5\)"):
        CenteredLoss(4).targets(torch.zeros(2, 5), 0.1)
    with pytest.raises(ConfigurationError, match="temperature: "):
        sinkhorn_knopp(torch.zeros(2, 4), math.inf)
    with pytest.raises(ConfigurationError, match="iterations: wanted at least 1, found 0"):
        sinkhorn_knopp(torch.zeros(2, 4), 0.1, 0)
    with pytest.raises(ConfigurationError, match=r"logits: wanted the shape \(B, K\), found \(4,\)"):
        sinkhorn_knopp(torch.zeros(4), 0.1)
