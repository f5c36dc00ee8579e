# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.losses import DinoLoss

CENTERINGS = {"softmax": "softmax", "sinkhorn": "sinkhorn_knopp"}


def reference(student: torch.Tensor, targets: torch.Tensor, temperature: float) -> tuple[float, float]:
    """The mean cross-entropy of all pairs of different views, one number at a time."""
    s, t = student.double().numpy(), targets.double().numpy()
    shares, pairs = [0.0, 0.0], 0
    for i in range(len(t)):
        for j in range(len(s)):
            if i == j:
                continue
            pairs += 1
            for b in range(s.shape[1]):
                odds = [math.exp(value / temperature) for value in s[j, b]]
                shares[j >= len(t)] -= (
                    sum(p * math.log(o / sum(odds)) for p, o in zip(t[i, b], odds, strict=True)) / s.shape[1]
                )
    return shares[0] / pairs, shares[1] / pairs


@pytest.mark.parametrize("name", CENTERINGS)
def test_equals_the_original_code(golden: dict[str, torch.Tensor], name: str) -> None:
    loss = DinoLoss(64, centering=CENTERINGS[name])
    if name == "softmax":
        loss.center.copy_(golden["center"])
    targets = loss.targets(golden["teacher_cls"], 0.05)
    torch.testing.assert_close(targets.flip(0), golden[f"teacher_{name}_swapped"], atol=1e-5, rtol=0)
    if name == "softmax":
        torch.testing.assert_close(loss.center, golden["center_after"], atol=1e-5, rtol=0)
    student = torch.cat([golden["student_global_cls"], golden["student_local_cls"]])
    seen, unseen = loss.parts(student, targets)
    torch.testing.assert_close(seen[None], golden[f"dino_global_{name}"], atol=1e-5, rtol=0)
    torch.testing.assert_close(unseen[None], golden[f"dino_local_{name}"], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss(student, targets), seen + unseen, atol=0, rtol=0)


@st.composite
def views(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    seen = draw(st.integers(1, 3))
    total = draw(st.integers(max(2, seen), 5))
    batch, prototypes = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    torch.manual_seed(draw(st.integers(0, 99)))
    return torch.randn(total, batch, prototypes), torch.randn(seen, batch, prototypes).mul(3).softmax(dim=-1)


@settings(deadline=None)
@given(views(), st.sampled_from([0.1, 0.5, 1]))
def test_is_the_mean_over_pairs_of_different_views(
    logits_and_targets: tuple[torch.Tensor, torch.Tensor], temperature: float
) -> None:
    student, targets = logits_and_targets
    found = DinoLoss(student.shape[-1], student_temp=temperature).parts(student, targets)
    np.testing.assert_allclose(found, reference(student, targets, temperature), atol=1e-4, rtol=1e-5)


@settings(deadline=None)
@given(views())
def test_gradient(logits_and_targets: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, targets = logits_and_targets
    student.requires_grad_()
    DinoLoss(student.shape[-1])(student, targets).backward()
    predicted = (student.detach().double() / 0.1).softmax(dim=-1)
    expected = torch.zeros_like(predicted)
    pairs = [(i, j) for i in range(len(targets)) for j in range(len(student)) if i != j]
    for i, j in pairs:
        expected[j] += (predicted[j] - targets[i].double()) / (0.1 * student.shape[1] * len(pairs))
    assert student.grad is not None
    torch.testing.assert_close(student.grad.double(), expected, atol=1e-5, rtol=1e-4)


def test_own_views_do_not_count() -> None:
    # Two views of which each predicts the other exactly: own views would add their disagreement.
    student = torch.tensor([[[20.0, 0]], [[0, 20.0]]])
    targets = torch.tensor([[[0.0, 1]], [[1.0, 0]]])
    assert DinoLoss(2)(student, targets) < 1e-6


def test_no_other_views_have_no_share() -> None:
    loss = DinoLoss(4)
    seen, unseen = loss.parts(torch.randn(2, 3, 4), torch.full((2, 3, 4), 0.25))
    assert seen > 0
    assert unseen == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    loss = DinoLoss(512)
    student = (100 * torch.randn(4, 3, 512)).to(dtype).requires_grad_()  # / 0.1 is near the end of float16
    targets = loss.targets((100 * torch.randn(2, 3, 512)).to(dtype), 0.04)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(student, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(student.float(), targets), atol=0, rtol=0)
    found.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_shapes_that_do_not_fit() -> None:
    loss = DinoLoss(4)
    for student, targets, message in (
        ((3, 4), (2, 3, 4), r"student: wanted the shape \(V, B, K\), found \(3, 4\)"),
        ((3, 2, 5), (2, 2, 4), r"student: wanted a last dimension of 4 .*\(3, 2, 5\)"),
        ((3, 2, 4), (2, 2, 5), r"targets: wanted a last dimension of 4 .*\(2, 2, 5\)"),
        ((3, 2, 4), (2, 1, 4), "student, targets: wanted the same number of images.* found 2 and 1"),
        ((3, 0, 4), (2, 0, 4), "student, targets: wanted the same number of images, at least 1"),
        ((1, 2, 4), (1, 2, 4), "student, targets: wanted at least two views.* found 1 and 1"),
        ((2, 2, 4), (3, 2, 4), "student, targets: wanted at least two views.* found 2 and 3"),
        ((2, 2, 4), (0, 2, 4), "student, targets: wanted at least two views.* found 2 and 0"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            loss(torch.zeros(student), torch.zeros(targets))
