# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.losses import GramLoss

VARIANTS = {
    "plain": GramLoss(),
    "remove_neg": GramLoss(remove_negatives=True),
    "batch_level": GramLoss(per_image=False),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_original_code(golden: dict[str, torch.Tensor], name: str) -> None:
    found = VARIANTS[name](golden["gram_student"], golden["gram_teacher"])
    torch.testing.assert_close(found[None], golden[f"gram_loss_{name}"], atol=1e-5, rtol=0)


def reference(student: torch.Tensor, teacher: torch.Tensor, remove_negatives: bool, per_image: bool) -> float:
    def cosine(x: np.ndarray, one: tuple[int, int], other: tuple[int, int]) -> float:
        similarity = x[one] @ x[other] / np.sqrt(x[one] @ x[one] * (x[other] @ x[other]))
        return max(similarity, 0) if remove_negatives else similarity

    s, t = student.double().numpy(), teacher.double().numpy()
    places = list(product(range(s.shape[0]), range(s.shape[1])))
    pairs = [(one, other) for one in places for other in places if not per_image or one[0] == other[0]]
    return sum((cosine(s, *pair) - cosine(t, *pair)) ** 2 for pair in pairs) / len(pairs)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 99))
def test_is_the_difference_of_similarities(
    batch: int, patches: int, width: int, remove_negatives: bool, per_image: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    student, teacher = torch.randn(batch, patches, width), torch.randn(batch, patches, width + 1)
    found = GramLoss(remove_negatives, per_image)(student, teacher)
    np.testing.assert_allclose(found, reference(student, teacher, remove_negatives, per_image), atol=1e-5)


def test_only_the_student_learns() -> None:
    student, teacher = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    GramLoss()(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None


def test_gradient() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4).double().requires_grad_(), torch.randn(2, 3, 4)
    assert torch.autograd.gradcheck(lambda x: GramLoss()(x, teacher), student, eps=1e-3, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    student, teacher = (1e3 * torch.randn(2, 5, 8)).to(dtype).requires_grad_(), torch.randn(2, 5, 8).to(dtype)
    with torch.no_grad():
        student[0, 0] = 0
    with torch.autocast("cpu", torch.bfloat16):
        found = GramLoss()(student, teacher)
    torch.testing.assert_close(found, GramLoss()(student.float(), teacher.float()), atol=0, rtol=0)
    found.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert not student.grad[0, 0].any()


def test_shapes_that_do_not_fit() -> None:
    for student, teacher in (((2, 3, 4), (2, 4, 4)), ((2, 3, 4), (6, 4)), ((0, 3, 4), (0, 3, 4))):
        with pytest.raises(ConfigurationError, match="student, teacher: wanted the shapes"):
            GramLoss()(torch.zeros(student), torch.zeros(teacher))
