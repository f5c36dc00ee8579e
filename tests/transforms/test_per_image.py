# SPDX-License-Identifier: Apache-2.0
"""MONAI's transforms for one image after the other."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import OneOf, RandGaussianNoise, RandGibbsNoise

from monai_dino.transforms import RandPerImage, RandPerImaged, view_state


def test_each_image_is_what_monai_makes_of_it_with_its_seed() -> None:
    x = torch.rand(3, 1, 16, 12)
    transform = RandPerImage(RandGibbsNoise(prob=1.0, alpha=(0.3, 0.6)), limits=None)
    drawn = transform.draw(np.random.RandomState(0), 3)
    found = transform.apply(x, drawn)
    for image, changed, seed in zip(x, found, drawn["seed"], strict=True):
        alone = RandGibbsNoise(prob=1.0, alpha=(0.3, 0.6)).set_random_state(state=view_state(int(seed)))
        torch.testing.assert_close(changed, torch.as_tensor(alone(image)).as_subclass(torch.Tensor))


def test_as_many_images_change_as_the_transform_says_and_it_is_left_as_it_was() -> None:
    noise = RandGaussianNoise(prob=0.25, std=0.1)
    transform = RandPerImage(noise).set_random_state(0)
    image = torch.full((1, 4, 4), 0.5)
    changed = [not torch.equal(transform(image), image) for _ in range(400)]
    assert 70 < sum(changed) < 130  # 100 expected, standard deviation 8.7
    assert noise.prob == 0.25


def test_a_choice_of_transforms_is_called_for_every_image() -> None:
    choice = OneOf([RandGaussianNoise(prob=1.0, std=0.1), RandGibbsNoise(prob=1.0, alpha=(0.4, 0.6))])
    image = torch.rand(1, 8, 8)
    transform = RandPerImage(choice).set_random_state(0)
    assert not any(torch.equal(transform(image), image) for _ in range(8))


def test_limits_clip() -> None:
    found = RandPerImage(RandGaussianNoise(prob=1.0, std=5.0), limits=(0.2, 0.4))(torch.rand(1, 8, 8))
    assert (found.min(), found.max()) == (torch.tensor(0.2), torch.tensor(0.4))


def test_dictionary_form_draws_one_seed_for_all_keys() -> None:
    x = torch.rand(1, 8, 8)
    found = RandPerImaged(["a", "b"], RandGaussianNoise(prob=1.0, std=0.3)).set_random_state(0)({"a": x, "b": x})
    assert torch.equal(found["a"], found["b"])
    assert not torch.equal(torch.as_tensor(found["a"]), x)
