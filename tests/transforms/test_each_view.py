# SPDX-License-Identifier: Apache-2.0
"""Each view of a stack has draws of its own."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandGaussianNoise

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import RandAdditiveNoise, RandBrightnessContrast, RandEachView, RandEachViewd, RandPerImage


def stack(n: int = 6) -> torch.Tensor:
    return torch.full((n, 1, 8, 9), 0.5)


def test_views_are_changed_differently() -> None:
    found = RandEachView([RandBrightnessContrast(1.0), RandAdditiveNoise(1.0)]).set_random_state(0)(stack())
    assert len(found.flatten(1).unique(dim=0)) == 6


def test_probability_is_of_each_view() -> None:
    x = stack(400)
    before = x.clone()
    found = RandEachView([RandAdditiveNoise(0.25, std=(0.1, 0.2))]).set_random_state(0)(x)
    changed = (found != x).flatten(1).any(dim=1).float().mean()
    assert 0.2 < changed < 0.3
    assert torch.equal(x, before)


def test_only_the_chosen_views_are_changed() -> None:
    x = stack(3)
    found = RandEachView([RandAdditiveNoise(1.0, std=0.1)], views=[1])(x)
    assert torch.equal(found[[0, 2]], x[[0, 2]])
    assert not torch.equal(found[1], x[1])
    with pytest.raises(InputError, match=r"views \[5\] of a stack that has 3"):
        RandEachView([], views=[5])(x)


def test_transforms_come_one_after_the_other() -> None:
    darker, lighter = RandBrightnessContrast(1.0, 0.4, 0.0), RandBrightnessContrast(1.0, 0.0, 0.4)
    each = RandEachView([darker, lighter]).set_random_state(1)
    steps = each.draw(each.R, 2)
    x = torch.rand(2, 1, 5, 5)
    wanted = lighter.apply(darker.apply(x, steps[0].parameters), steps[1].parameters)
    assert torch.equal(each.apply(x, steps), wanted)


def test_metadata_stay() -> None:
    found = RandEachViewd("a", [RandAdditiveNoise(1.0)])({"a": MetaTensor(stack(), meta={"case": "c"})})["a"]
    assert found.meta["case"] == "c"


def test_monais_transforms_are_wrapped() -> None:
    each = RandEachView([RandPerImage(RandGaussianNoise(prob=1.0, std=0.3))]).set_random_state(0)
    found = each(stack())
    assert len(found.flatten(1).unique(dim=0)) == 6
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.equal(found, each.set_random_state(0)(stack()))
    with pytest.raises(ConfigurationError, match=r"RandGaussianNoise.*RandPerImage"):
        RandEachView([RandGaussianNoise()])  # type: ignore[list-item]


def test_an_empty_or_broken_stack_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        RandEachView([])(stack(0))
    with pytest.raises(InputError, match="not finite"):
        RandEachView([])(stack() / 0)
