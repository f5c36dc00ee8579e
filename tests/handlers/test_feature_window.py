# SPDX-License-Identifier: Apache-2.0
"""Rank and similarity of samples whose spread is known, and a window that keeps the last rows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.handlers.feature_window import FeatureWindow, effective_rank, feature_similarity


def sample(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("d", [1, 8, 64])
def test_isotropic_sample_has_nearly_all_dimensions(d: int) -> None:
    assert effective_rank(sample(4000, d)) == pytest.approx(d, rel=0.01)


@pytest.mark.parametrize("directions", [1, 3, 7])
def test_rank_counts_equal_directions(directions: int) -> None:
    basis = torch.linalg.qr(sample(32, 32)).Q[:directions]
    signs = torch.cat([torch.eye(directions), -torch.eye(directions)])
    assert effective_rank(signs @ basis + 5.0) == pytest.approx(directions, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_constant_has_one(dtype: torch.dtype) -> None:
    assert effective_rank(sample(1, 16).to(dtype).expand(20, 16)) == 1.0
    assert effective_rank(torch.zeros(5, 4, dtype=dtype)) == 1.0


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_rank_is_within_its_bounds_and_does_not_see_moves_and_turns(n: int, d: int, seed: int) -> None:
    x = sample(n, d, seed)
    rank = effective_rank(x)
    assert 1 <= rank <= max(min(n - 1, d), 1) + 1e-6
    turn = torch.linalg.qr(sample(d, d, seed + 1)).Q
    assert effective_rank(3 * (x @ turn) + 2) == pytest.approx(rank, rel=1e-3)


def test_rank_agrees_with_singular_values() -> None:
    x = sample(30, 50).double()
    p = torch.linalg.svdvals(x - x.mean(dim=0))
    p = p / p.sum()
    assert effective_rank(x) == pytest.approx(float((-(p * (p + 1e-300).log()).sum()).exp()), rel=1e-6)


@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_similarity_is_the_mean_cosine_of_pairs(n: int, d: int, seed: int) -> None:
    x = sample(n, d, seed)
    cosines = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=-1)
    expected = float((cosines.sum() - n) / (n * (n - 1)))
    assert feature_similarity(x) == pytest.approx(expected, abs=1e-5)


def test_similarity_of_one_direction() -> None:
    assert feature_similarity(torch.ones(5, 3) * torch.arange(1, 6)[:, None]) == pytest.approx(1.0)


def test_of_nothing() -> None:
    assert math.isnan(effective_rank(torch.zeros(0, 4)))
    assert math.isnan(feature_similarity(torch.ones(1, 4)))


@given(st.lists(st.integers(1, 7), max_size=12), st.integers(1, 10))
@settings(deadline=None, max_examples=50)
def test_window_keeps_the_last_rows(steps: list[int], size: int) -> None:
    window, everything = FeatureWindow(size), sample(sum(steps), 2)
    for part in everything.split(steps):
        window.add(part)
    assert len(window) == min(sum(steps), size)
    if steps:
        assert torch.equal(window.rows(), everything[-size:])
    window.clear()
    assert len(window) == 0


def test_window_keeps_no_more_than_it_needs() -> None:
    tokens = torch.zeros(8, 257, 4)
    window = FeatureWindow(8)
    for _ in range(5):
        window.add(tokens[:, 0])
    assert sum(part.untyped_storage().nbytes() for part in window._parts) == 8 * 4 * 4
