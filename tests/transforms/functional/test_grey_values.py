# SPDX-License-Identifier: Apache-2.0
"""Brightness, contrast, solarisation and noise, written out."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.transforms.functional.grey_values import additive_noise, brightness_contrast, solarize

FACTORS = st.floats(0, 2)


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 1, 6, 5, generator=torch.Generator().manual_seed(0))


@settings(deadline=None)
@given(b=FACTORS, c=FACTORS)
def test_brightness_then_contrast_about_the_mean(b: float, c: float) -> None:
    x = images()
    found = brightness_contrast(x, torch.tensor([b, 1.0]), torch.tensor([c, 1.0]))
    bright = np.clip(x[0].numpy() * np.float32(b), 0, 1)
    wanted = np.clip(bright.mean() + np.float32(c) * (bright - bright.mean()), 0, 1)
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-6)
    torch.testing.assert_close(found[1], x[1])


def test_no_contrast_leaves_the_mean() -> None:
    x = images()
    found = brightness_contrast(x, torch.ones(2), torch.zeros(2))
    torch.testing.assert_close(found, x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x))


def test_solarisation_is_its_own_inverse_above_one_half() -> None:
    x = images()
    once = solarize(x, torch.tensor([0.5, 2.0]))
    assert torch.equal(once[1], x[1])
    bright = x[0] >= 0.5
    torch.testing.assert_close(once[0][bright], 1 - x[0][bright])
    assert torch.equal(once[0][~bright], x[0][~bright])


def test_noise_has_the_stated_deviation_and_is_independent() -> None:
    x = torch.full((2, 1, 100, 100), 0.5)
    found = additive_noise(x, torch.tensor([0.05, 0.02]), torch.tensor([1, 2])) - x
    np.testing.assert_allclose(found.std(dim=(1, 2, 3)).numpy(), [0.05, 0.02], rtol=0.05)
    assert found.mean().abs() < 1e-3
    assert abs(np.corrcoef(found.flatten(1).numpy())[0, 1]) < 0.05
    again = additive_noise(x[1:], torch.tensor([0.02]), torch.tensor([2])) - x[1:]
    assert torch.equal(again[0], found[1])
