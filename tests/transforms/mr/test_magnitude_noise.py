# SPDX-License-Identifier: Apache-2.0
"""Noise of magnitude images is of a Rice distribution, as that of MONAI's transform is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import RandRicianNoise
from scipy.stats import kstest, rice

from monai_dino.transforms.functional.grey_values import magnitude_noise


@pytest.mark.parametrize("signal", [0.0, 0.03, 0.4])
def test_is_of_a_rice_distribution(signal: float) -> None:
    std = 0.05
    x = torch.full((1, 1, 120, 120), signal, dtype=torch.float64)
    found = magnitude_noise(x, torch.tensor([std]), torch.tensor([7])).flatten().numpy()
    assert kstest(found, rice(signal / std, scale=std).cdf).pvalue > 1e-3
    monais = RandRicianNoise(prob=1.0, std=std, sample_std=False, dtype=np.float64).set_random_state(0)(x[0])
    np.testing.assert_allclose(found.mean(), float(monais.mean()), atol=4 * std / 120)
    np.testing.assert_allclose(found.std(), float(monais.std()), rtol=0.05)


def test_is_independent_from_image_to_image_and_a_function_of_the_seed() -> None:
    x = torch.full((2, 1, 80, 80), 0.5)
    found = magnitude_noise(x, torch.tensor([0.05, 0.02]), torch.tensor([1, 2]))
    assert abs(np.corrcoef(found.flatten(1).numpy())[0, 1]) < 0.05
    assert torch.equal(magnitude_noise(x[1:], torch.tensor([0.02]), torch.tensor([2]))[0], found[1])
    assert torch.equal(magnitude_noise(x, torch.zeros(2), torch.tensor([1, 2])), x)
