# SPDX-License-Identifier: Apache-2.0
"""Masks of one case as one volume of class numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_dino.data.checks import check_same_grid
from monai_dino.data.formats import PICTURE_SUFFIXES
from monai_dino.data.open_volume import OpenVolume
from monai_dino.errors import InputError

__all__ = ["MaskVolume"]

_LEVELS = (0, 255)


class MaskVolume(OpenVolume):
    """The masks of one case, united; where several are labelled, the highest class wins.

    A picture (PNG, ...) whose values are 0 and 255 alone is background and class 1.

    Args:
        parts: masks on one grid, each of one channel or of equal ones; they are read once to check their values, and
            closed with it.

    Raises:
        InputError: when a mask has several channels, holds values that are not whole numbers or out of range, or lies
            on another grid than the first.
    """

    def __init__(self, parts: Sequence[OpenVolume]) -> None:
        self.parts = list(parts)
        for part in parts[1:]:
            check_same_grid(part, parts[0], str(part.path), str(parts[0].path))
        low, high, self.divisor = 0, 0, 1
        two_levels = str(parts[0].path).lower().endswith(PICTURE_SUFFIXES)
        for k in range(parts[0].shape[3]):
            united = self._united(2, k, k + 1)
            low, high = min(low, int(united.min())), max(high, int(united.max()))
            two_levels = two_levels and bool(np.isin(united, _LEVELS).all())
        if two_levels and high == _LEVELS[1]:
            self.divisor, high = high, 1
        if low < -(2**31) or high >= 2**31:
            raise InputError(f"{parts[0].path}: a mask with values from {low} to {high}; save class numbers")
        dtype = np.dtype(np.uint8 if low >= 0 and high < 256 else np.int32)
        super().__init__(parts[0].path, (1, *parts[0].shape[1:]), dtype, parts[0].affine)

    def close(self) -> None:
        """Closes all of them."""
        for part in self.parts:
            part.close()

    def _part(self, axis: int, start: int, stop: int) -> np.ndarray:
        return self._united(axis, start, stop) // self.divisor

    def _united(self, axis: int, start: int, stop: int) -> np.ndarray:
        united = _classes(self.parts[0], axis, start, stop)
        for part in self.parts[1:]:
            united = np.maximum(united, _classes(part, axis, start, stop))
        return united


def _classes(part: OpenVolume, axis: int, start: int, stop: int) -> np.ndarray:
    mask = part.read(axis, start, stop)
    if mask.shape[0] > 1 and not (mask == mask[:1]).all():  # a grey picture saved as colour has equal channels
        raise InputError(f"{part.path}: a mask of {mask.shape[0]} channels; save one channel of class numbers")
    if mask.dtype.kind == "f" and (mask != mask.round()).any():
        raise InputError(f"{part.path}: a mask with values that are not whole numbers; save class numbers")
    return mask[:1]
