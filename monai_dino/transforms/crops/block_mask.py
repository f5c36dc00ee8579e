# SPDX-License-Identifier: Apache-2.0
"""Which patches of the global views the student does not see."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms.rand_dictionary import RandDictionary
from monai_dino.transforms.ranges import value_range

__all__ = ["RandBlockMask", "RandBlockMaskD", "RandBlockMaskDict", "RandBlockMaskd", "block_mask"]

_LEAST_BLOCK = 4
_LEAST_ASPECT = 0.3
_ATTEMPTS = 10


def block_mask(rng: np.random.RandomState, grid: tuple[int, int], count: int) -> np.ndarray:
    """Draws a mask of rectangular blocks (BEiT, Bao et al. 2022, Algorithm 1; as iBOT and DINOv2 use it).

    Blocks of at least four patches and an aspect from 0.3 to 1/0.3 are added until ``count`` patches are masked. None
    of them adds more than half of all patches, nor more than are missing, and none covers a whole side; where none fits
    in ten attempts, fewer patches are masked.

    Args:
        rng: source of randomness.
        grid: rows and columns of patches.
        count: patches to mask.

    Returns:
        bool, shape ``grid``, with at most ``count`` set.
    """
    mask = np.zeros(grid, dtype=bool)
    most = grid[0] * grid[1] // 2
    masked = 0
    while masked < count:
        added = _add_block(rng, mask, min(count - masked, most))
        if not added:
            break
        masked += added
    return mask


def _add_block(rng: np.random.RandomState, mask: np.ndarray, most: int) -> int:
    for _ in range(_ATTEMPTS):
        area = rng.uniform(min(_LEAST_BLOCK, most), max(_LEAST_BLOCK, most))
        aspect = np.exp(rng.uniform(np.log(_LEAST_ASPECT), -np.log(_LEAST_ASPECT)))
        height, width = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if not (0 < height < mask.shape[0] and 0 < width < mask.shape[1]):
            continue
        top, left = rng.randint(0, mask.shape[0] - height + 1), rng.randint(0, mask.shape[1] - width + 1)
        block = mask[top : top + height, left : left + width]
        new = int((~block).sum())
        if 0 < new <= most:
            block[...] = True
            return new
    return 0


class RandBlockMask(Randomizable):
    """Draws patch masks for a number of views, with ratios spread over them (DINOv2's collate function).

    ``int(n * prob)`` views are masked, the i-th of them by a ratio drawn from the i-th of equal parts of the range, so
    that few and many masked patches are in each batch; which views they are is drawn too. Draw for a whole batch at
    once, since two views spread little.

    Args:
        patch_size: height and width of a patch in pixels.
        prob: share of the views that are masked.
        ratio: least and greatest share of masked patches.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, patch_size: int, prob: float = 0.5, ratio: tuple[float, float] = (0.1, 0.5)) -> None:
        if patch_size < 1:
            raise ConfigurationError(f"patch_size={patch_size}: expected pixels")
        if not 0 <= prob <= 1:
            raise ConfigurationError(f"prob={prob}: expected a share from 0 to 1")
        self.patch_size = patch_size
        self.prob = prob
        self.ratio = value_range("ratio", ratio, least=0.0)
        if self.ratio[1] > 1:
            raise ConfigurationError(f"ratio={ratio}: expected shares from 0 to 1")

    def draw(self, rng: np.random.RandomState, n: int, size: tuple[int, int]) -> np.ndarray:
        """Draws the masks of ``n`` views.

        Args:
            rng: source of randomness.
            n: number of views.
            size: height and width of the views in pixels.

        Returns:
            bool, shape (n, patches), row by row of patches.

        Raises:
            InputError: when a view has no whole number of patches.
        """
        if size[0] % self.patch_size or size[1] % self.patch_size:
            raise InputError(
                f"{type(self).__name__}: views of {size[0]}x{size[1]} pixels are no whole number of patches of "
                f"{self.patch_size}; choose another size of views or patch_size"
            )
        grid = (size[0] // self.patch_size, size[1] // self.patch_size)
        masks = np.zeros((n, *grid), dtype=bool)
        chosen = rng.permutation(n)[: int(n * self.prob)]
        edges = np.linspace(*self.ratio, len(chosen) + 1)
        for view, low, high in zip(chosen, edges, edges[1:], strict=False):
            masks[view] = block_mask(rng, grid, int(grid[0] * grid[1] * rng.uniform(low, high)))
        return masks.reshape(n, -1)

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        """Draws the masks of a stack of views.

        Args:
            views: shape (V, C, H, W).

        Returns:
            bool, shape (V, patches).
        """
        return torch.from_numpy(self.draw(self.R, len(views), (views.shape[-2], views.shape[-1])))


class RandBlockMaskd(RandDictionary):
    """Dictionary form of :class:`RandBlockMask`: masks of stacks of views, under keys of their own.

    Args:
        keys: keys of the stacks.
        patch_size: as there.
        prob: as there.
        ratio: as there.
        mask_key: keys of the masks.
        allow_missing_keys: whether a key may be missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        patch_size: int,
        prob: float = 0.5,
        ratio: tuple[float, float] = (0.1, 0.5),
        mask_key: str | Sequence[str] = "patch_mask",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.mask_key = ensure_tuple_rep(mask_key, len(self.keys))
        if len(set(self.mask_key)) < len(self.mask_key):
            raise ConfigurationError(f"mask_key={mask_key}: expected a key for each of {len(self.keys)} stacks")
        self.transform: RandBlockMask = RandBlockMask(patch_size, prob, ratio)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds the masks of one item.

        Args:
            data: item with stacks of views.

        Returns:
            A new item.
        """
        item = dict(data)
        for key, mask_key in self.key_iterator(item, self.mask_key):
            item[mask_key] = self.transform(item[key])
        return item


RandBlockMaskD = RandBlockMaskDict = RandBlockMaskd
