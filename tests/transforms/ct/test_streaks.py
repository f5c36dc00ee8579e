# SPDX-License-Identifier: Apache-2.0
"""Streaks run along their rays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import RandStreaks
from monai_dino.transforms.functional.streaks import streaks


def field(angle: float) -> np.ndarray:
    x = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return streaks(x, torch.tensor([30.0]), one * angle, one, torch.tensor([3]))[0, 0].numpy()


def test_a_single_projection_is_constant_along_its_rays() -> None:
    across = field(0.0)
    np.testing.assert_allclose(across, np.repeat(across[:, :1], 60, axis=1), atol=1e-9)
    along = field(np.pi / 2)
    np.testing.assert_allclose(along, np.repeat(along[:1], 60, axis=0), atol=1e-6)
    diagonal = field(np.pi / 4)
    np.testing.assert_allclose(diagonal[1:, 1:], diagonal[:-1, :-1], atol=1e-9)


def test_streaks_have_the_stated_deviation_and_no_mean() -> None:
    transform = RandStreaks(prob=1.0, std=(15.0, 60.0))
    drawn = transform.draw(np.random.RandomState(0), 6)
    found = transform.apply(torch.zeros(6, 2, 50, 40), drawn)
    np.testing.assert_allclose(found.std(dim=(2, 3)).numpy()[:, 0], drawn["std"], rtol=1e-3)
    np.testing.assert_allclose(found.mean(dim=(1, 2, 3)).numpy(), 0, atol=1e-3)
    assert torch.equal(found[:, 0], found[:, 1])


def test_the_number_of_projections_is_within_its_range() -> None:
    counts = RandStreaks(projections=(2, 5)).draw(np.random.RandomState(0), 300)["weight"].sum(axis=1)
    assert set(counts) == {2, 3, 4, 5}


@pytest.mark.parametrize("wrong", [{"projections": (0, 4)}, {"projections": (2, 4.5)}, {"std": -1.0}, {"spread": -2.0}])
def test_values_that_cannot_work_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RandStreaks(**wrong)  # type: ignore[arg-type]
