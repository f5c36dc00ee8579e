# SPDX-License-Identifier: Apache-2.0
"""Speckle has Rayleigh's statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.transforms.functional.us_beams import DYNAMIC_RANGE
from monai_dino.transforms.functional.us_speckle import speckle


def decibels(size: float, strength: float = 1.0) -> np.ndarray:
    x = torch.full((1, 1, 200, 200), 0.6, dtype=torch.float64)
    found = speckle(x, torch.tensor([strength]), torch.tensor([size]), torch.tensor([1]))
    return (found - 0.6)[0, 0].numpy() * DYNAMIC_RANGE


def test_log_compressed_speckle_has_the_deviation_of_rayleighs() -> None:
    """20 log10 of a Rayleigh amplitude has a standard deviation of 5.57 dB, whatever its scale."""
    found = decibels(0.1)
    inner = found[np.abs(found) < 35]
    assert inner.std() == pytest.approx(5.57, rel=0.03)
    amplitude = 10 ** (found / 20)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, rel=0.03)


def test_strength_scales_decibels() -> None:
    full, part = decibels(1.0), decibels(1.0, 0.3)
    clipped = np.abs(full) > 20
    assert clipped.mean() < 0.05
    np.testing.assert_allclose(part[~clipped], 0.3 * full[~clipped], atol=1e-5)


def test_size_correlates_neighbours() -> None:
    def neighbours(size: float) -> float:
        found = decibels(size)
        return float(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1])

    assert abs(neighbours(0.1)) < 0.03
    assert 0.3 < neighbours(1.0) < neighbours(2.0)
