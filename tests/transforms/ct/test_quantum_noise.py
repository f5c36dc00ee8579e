# SPDX-License-Identifier: Apache-2.0
"""Amount and spectrum of the noise of a lower dose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import RandQuantumNoise


def noise(dose: float, n: int = 20, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    transform = RandQuantumNoise(prob=1.0, dose=dose, full_dose_noise=12.0)
    x = torch.full((n, 1, *size), 40.0, dtype=torch.float64)
    return (transform.apply(x, transform.draw(np.random.RandomState(0), n)) - x).numpy()


@pytest.mark.parametrize("dose", [0.1, 0.25, 0.9])
def test_variance_grows_with_the_reciprocal_of_the_dose(dose: float) -> None:
    found = noise(dose)
    assert found.std() == pytest.approx(12 * np.sqrt(1 / dose - 1), rel=0.02)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-9)


def test_odd_sizes_have_the_same_amount() -> None:
    assert noise(0.25, size=(31, 45)).std() == pytest.approx(12 * np.sqrt(3), rel=0.03)


def test_full_dose_adds_nothing() -> None:
    assert np.abs(noise(1.0)).max() == 0


def test_the_spectrum_rises_from_zero_as_a_ramp_and_falls_to_the_nyquist_frequency() -> None:
    power = (np.abs(np.fft.fft2(noise(0.2, n=60)[:, 0])) ** 2).mean(axis=0)
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(96)[None])
    rings = [power[(radius >= r - 0.01) & (radius < r + 0.01)].mean() for r in (0.04, 0.08, 0.2, 0.49)]
    assert rings[1] / rings[0] == pytest.approx(2 * (np.cos(0.08 * np.pi) / np.cos(0.04 * np.pi)) ** 2, rel=0.15)
    assert rings[2] > rings[1] > 5 * rings[3]


def test_values_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigurationError, match="dose"):
        RandQuantumNoise(dose=(0.5, 2.0))
    with pytest.raises(ConfigurationError, match="full_dose_noise"):
        RandQuantumNoise(full_dose_noise=-1.0)
