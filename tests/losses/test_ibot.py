# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.losses import IBotPatchLoss

CENTERINGS = {"softmax": "softmax", "sinkhorn": "sinkhorn_knopp"}


def reference(student: torch.Tensor, targets: torch.Tensor, patch_mask: torch.Tensor, temperature: float) -> float:
    """The mean over images of the mean cross-entropy of their masked patches, one number at a time."""
    s, t, total, row = student.double().numpy(), targets.double().numpy(), 0.0, 0
    for image in patch_mask.tolist():
        losses = []
        for masked in image:
            if masked:
                odds = [math.exp(value / temperature) for value in s[row]]
                losses.append(-sum(p * math.log(o / sum(odds)) for p, o in zip(t[row], odds, strict=True)))
                row += 1
        total += sum(losses) / len(losses) if losses else 0
    assert row == len(s)
    return total / len(patch_mask)


@pytest.mark.parametrize("name", CENTERINGS)
def test_equals_the_original_code(golden: dict[str, torch.Tensor], name: str) -> None:
    loss = IBotPatchLoss(64, centering=CENTERINGS[name])
    if name == "softmax":
        loss.center.copy_(golden["ibot_center"][0])
    targets = loss.targets(golden["ibot_teacher"], 0.05)
    torch.testing.assert_close(targets, golden[f"ibot_teacher_{name}"], atol=1e-5, rtol=0)
    if name == "softmax":
        torch.testing.assert_close(loss.center, golden["ibot_center_after"][0], atol=1e-5, rtol=0)
    found = loss(golden["ibot_student"], targets, golden["ibot_mask"])
    torch.testing.assert_close(found[None], golden[f"ibot_loss_{name}"], atol=1e-5, rtol=0)


Masks = st.integers(1, 6).flatmap(
    lambda patches: st.lists(st.lists(st.booleans(), min_size=patches, max_size=patches), min_size=1, max_size=5)
)


@settings(deadline=None)
@given(Masks, st.integers(1, 6), st.sampled_from([0.1, 1]), st.integers(0, 99))
def test_each_image_counts_alike(mask: list[list[bool]], prototypes: int, temperature: float, seed: int) -> None:
    torch.manual_seed(seed)
    patch_mask = torch.tensor(mask)
    masked = int(patch_mask.sum())
    student, targets = torch.randn(masked, prototypes), torch.randn(masked, prototypes).softmax(dim=1)
    found = IBotPatchLoss(prototypes, temperature)(student, targets, patch_mask)
    np.testing.assert_allclose(found, reference(student, targets, patch_mask, temperature), atol=1e-5, rtol=1e-5)


def test_gradient() -> None:
    patch_mask = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]]).bool()
    student, targets = torch.randn(3, 8, requires_grad=True), torch.randn(3, 8).softmax(dim=1)
    IBotPatchLoss(8)(student, targets, patch_mask).backward()
    weight = torch.tensor([[1 / 2], [1 / 2], [1]]) / 3
    expected = weight * ((student.detach() / 0.1).softmax(dim=1) - targets) / 0.1
    torch.testing.assert_close(student.grad, expected)


@pytest.mark.parametrize("centering", CENTERINGS.values())
def test_nothing_masked(centering: str) -> None:
    loss = IBotPatchLoss(4, centering=centering)
    student = torch.zeros(0, 4, requires_grad=True)
    found = loss(student, loss.targets(torch.zeros(0, 4), 0.1), torch.zeros(2, 9, dtype=torch.bool))
    assert found == 0
    found.backward()
    assert student.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    loss = IBotPatchLoss(512)
    student = (100 * torch.randn(6, 512)).to(dtype).requires_grad_()
    targets = loss.targets((100 * torch.randn(6, 512)).to(dtype), 0.04)
    patch_mask = torch.ones(2, 3, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(student, targets, patch_mask)
    torch.testing.assert_close(found, loss(student.float(), targets, patch_mask), atol=0, rtol=0)
    found.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_shapes_that_do_not_fit() -> None:
    loss, fits = IBotPatchLoss(4), torch.ones(3, 4)
    patch_mask = torch.tensor([[True, False], [True, True]])
    for student, targets, mask, message in (
        (torch.ones(2, 4), fits, patch_mask, r"student: wanted the shape \(3, 4\) .*found \(2, 4\)"),
        (fits, torch.ones(3, 5), patch_mask, r"targets: wanted the shape \(3, 4\) .*found \(3, 5\)"),
        (fits, fits, patch_mask.long(), r"patch_mask: wanted a bool tensor .*found torch.int64 \(2, 2\)"),
        (fits, fits, patch_mask[0], r"patch_mask: wanted a bool tensor .*found torch.bool \(2,\)"),
        (fits, fits, patch_mask[:0], r"patch_mask: wanted a bool tensor .*found torch.bool \(0, 2\)"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            loss(student, targets, mask)
