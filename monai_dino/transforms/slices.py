# SPDX-License-Identifier: Apache-2.0
"""A fixed number of slices of a volume, as a bag."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, RandomizableTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor

from monai_dino.errors import ConfigurationError

__all__ = [
    "RandSampleSlices",
    "RandSampleSlicesD",
    "RandSampleSlicesDict",
    "RandSampleSlicesd",
    "SampleSlices",
    "SampleSlicesD",
    "SampleSlicesDict",
    "SampleSlicesd",
    "check_num_slices",
]


def check_num_slices(num_slices: Any) -> None:
    """Checks a number of slices.

    Args:
        num_slices: the number.

    Raises:
        ConfigurationError: when it is no whole number of at least 1.
    """
    if not isinstance(num_slices, Integral) or num_slices < 1:
        raise ConfigurationError(
            f"num_slices must be at least 1, got {num_slices}; a batch holds as many slices of each case"
        )


class SampleSlices(Transform):
    """Takes evenly spaced slices along the last axis: the middle of each of ``num_slices`` equal parts of the volume.

    A volume of fewer slices gives some of them more than once, so that bags can be put into one batch.

    Args:
        num_slices: number of slices.

    Raises:
        ConfigurationError: when it is below 1.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, num_slices: int) -> None:
        check_num_slices(num_slices)
        self.num_slices = num_slices

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        """Takes the slices.

        Args:
            img: volume, shape (C, H, W, D).

        Returns:
            Shape (C, H, W, num_slices).
        """
        return take_slices(img, np.full(self.num_slices, 0.5))


class RandSampleSlices(RandomizableTransform):
    """Takes one slice at random from each of ``num_slices`` equal parts of a volume.

    Args:
        num_slices: number of slices.

    Raises:
        ConfigurationError: when it is below 1.
    """

    backend = SampleSlices.backend

    def __init__(self, num_slices: int) -> None:
        super().__init__(prob=1.0)
        check_num_slices(num_slices)
        self.num_slices = num_slices
        self.places = np.full(num_slices, 0.5)

    def randomize(self, data: Any = None) -> None:
        """Draws the place of the slice within each part, from 0 to 1."""
        super().randomize(None)
        self.places = self.R.uniform(size=self.num_slices)

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> torch.Tensor:
        """Takes the slices.

        Args:
            img: volume, shape (C, H, W, D).
            randomize: whether to draw new places.

        Returns:
            Shape (C, H, W, num_slices).
        """
        if randomize:
            self.randomize()
        return take_slices(img, self.places)


def take_slices(img: NdarrayOrTensor, places: np.ndarray) -> torch.Tensor:
    """Takes one slice from each of equal parts of a volume.

    Args:
        img: volume, shape (C, H, W, D).
        places: place of the slice within each part, from 0 to 1, shape (N,).

    Returns:
        Shape (C, H, W, N).
    """
    volume = convert_to_tensor(img, track_meta=get_track_meta())
    taken: torch.Tensor = volume[..., torch.from_numpy(slice_indices(places, volume.shape[-1]))]
    return taken


def slice_indices(places: np.ndarray, depth: int) -> np.ndarray:
    """The slices at given places in equal parts of a volume.

    Args:
        places: place of the slice within each part, from 0 to 1, shape (N,).
        depth: slices of the volume.

    Returns:
        Indices from 0 to ``depth - 1``, shape (N,).
    """
    indices: np.ndarray = np.floor((np.arange(len(places)) + places) * depth / len(places)).astype(int)
    return indices.clip(0, depth - 1)


class SampleSlicesd(MapTransform):
    """Dictionary form of :class:`SampleSlices`.

    Args:
        keys: keys of the volumes.
        num_slices: as there.
        allow_missing_keys: whether a key may be missing.
    """

    backend = SampleSlices.backend

    def __init__(self, keys: KeysCollection, num_slices: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.sample = SampleSlices(num_slices)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Takes the slices of one item's volumes.

        Args:
            data: item with the volumes.

        Returns:
            A new item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.sample(item[key])
        return item


class RandSampleSlicesd(RandomizableTransform, MapTransform):
    """Dictionary form of :class:`RandSampleSlices`; all keys get the same slices.

    Args:
        keys: keys of the volumes.
        num_slices: as there.
        allow_missing_keys: whether a key may be missing.
    """

    backend = SampleSlices.backend

    def __init__(self, keys: KeysCollection, num_slices: int, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.sample = RandSampleSlices(num_slices)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandSampleSlicesd:
        """Sets the random state, that of the array transform included."""
        super().set_random_state(seed, state)
        self.sample.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Takes the slices of one item's volumes.

        Args:
            data: item with the volumes.

        Returns:
            A new item.
        """
        item = dict(data)
        self.sample.randomize()
        for key in self.key_iterator(item):
            item[key] = self.sample(item[key], randomize=False)
        return item


SampleSlicesD = SampleSlicesDict = SampleSlicesd
RandSampleSlicesD = RandSampleSlicesDict = RandSampleSlicesd
