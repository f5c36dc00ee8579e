# SPDX-License-Identifier: Apache-2.0
"""Volumes whose voxels are read part by part, so that a volume need not fit into memory."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_dino.data.checks import check_affine, check_dtype
from monai_dino.errors import ConfigurationError, InputError

__all__ = ["OpenVolume", "StackedVolume", "WholeVolume", "in_blocks", "read_whole", "slices_a_block"]

_LOGGER = logging.getLogger(__name__)
_BLOCK = 1 << 23  # bytes

Shape = tuple[int, int, int, int]


class OpenVolume(ABC):
    """A volume on disk. It is a context manager, which lets go of the file.

    Args:
        path: what an error calls it.
        shape: (C, X, Y, Z).
        dtype: type of the voxels in the file.
        affine: voxel indices to RAS millimetres, (4, 4).
        fill: value that voxels which are not finite get; ``None`` refuses them.

    Attributes:
        path: as given.
        shape: as given.
        dtype: type of the voxels that are read: booleans become uint8, uint16 int32, uint32 and uint64 int64, since
            torch works with few unsigned types.
        affine: as given, in float64.
        meta: for a MetaTensor.

    Raises:
        ConfigurationError: when the value to fill is not finite itself.
        InputError: when the affine or the type cannot be used.
    """

    def __init__(
        self, path: Path | str, shape: Shape, dtype: np.dtype, affine: np.ndarray, fill: float | None = None
    ) -> None:
        self.path = path
        self.shape = shape
        self.dtype = check_dtype(path, dtype)
        self.affine = check_affine(path, affine)
        if fill is not None and not math.isfinite(fill):
            raise ConfigurationError(f"fill={fill}: expected a finite value for the voxels that are not")
        self.fill = fill
        self._gaps: dict[int, np.ndarray] = {}  # axis -> voxels that were filled at each index along it
        self.meta: dict[str, Any] = {"filename_or_obj": str(path)}

    def __enter__(self) -> OpenVolume:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def filled(self) -> int:
        """Voxels that were filled in the parts that were read, however often and along whichever axis."""
        return max((int(counts.sum()) for counts in self._gaps.values()), default=0)

    def close(self) -> None:
        """Lets go of the file, and logs how many voxels were filled."""
        if self.filled:
            _LOGGER.warning("%s: %d voxels are not finite; they were set to %g", self.path, self.filled, self.fill)
            self._gaps.clear()

    def read(self, axis: int, start: int, stop: int) -> np.ndarray:
        """Reads a part of the voxels.

        Args:
            axis: spatial axis that is cut, 0 to 2.
            start: the first index along it.
            stop: the one after the last.

        Returns:
            Shape (C, X, Y, Z) with the axis cut, C-contiguous.

        Raises:
            InputError: when a voxel is not finite and no value to fill was given.
        """
        raw = self._part(axis, start, stop)
        if raw.dtype == np.uint64 and raw.max() > np.iinfo(np.int64).max:
            raise InputError(f"{self.path}: voxels up to {raw.max()} are beyond what 64 bits with a sign can hold")
        voxels = raw.astype(self.dtype, order="C", copy=False)
        if self.dtype.kind != "f" or (finite := np.isfinite(voxels)).all():
            return np.ascontiguousarray(voxels)
        bad = np.argwhere(~finite)
        if self.fill is None:
            bad[:, axis + 1] += start
            raise InputError(
                f"{self.path}: {self._how_many(axis, start, stop, len(bad))} not finite (NaN or infinite), the first "
                f"at index {tuple(int(i) for i in bad[0][1:])}; repair or mask them, or state a value to fill"
            )
        counts = self._gaps.setdefault(axis, np.zeros(self.shape[axis + 1], np.int64))
        counts[start:stop] = np.bincount(bad[:, axis + 1], minlength=stop - start)
        return np.where(finite, voxels, np.asarray(self.fill, self.dtype))

    def _how_many(self, axis: int, start: int, stop: int, bad: int) -> str:
        if stop - start == self.shape[axis + 1]:
            return f"{bad} of {int(np.prod(self.shape))} voxels are"
        return f"{bad} or more of {int(np.prod(self.shape))} voxels are"

    @abstractmethod
    def _part(self, axis: int, start: int, stop: int) -> np.ndarray:
        """The voxels as they lie in the file, shape (C, X, Y, Z) with the axis cut."""


class WholeVolume(OpenVolume):
    """A volume that was read into memory at once.

    Args:
        path: what an error calls it.
        array: its voxels, shape (C, X, Y, Z).
        affine: as for :class:`OpenVolume`.
        fill: likewise.
    """

    def __init__(self, path: Path | str, array: np.ndarray, affine: np.ndarray, fill: float | None = None) -> None:
        super().__init__(path, array.shape, array.dtype, affine, fill)
        self.array = array

    def _part(self, axis: int, start: int, stop: int) -> np.ndarray:
        return self.array[(slice(None),) * (axis + 1) + (slice(start, stop),)]


class StackedVolume(OpenVolume):
    """Volumes on one grid as the channels of one.

    Args:
        parts: the volumes, which are closed with it; their values are refused or filled by themselves.
        channels: channels to take, in order; ``None`` takes all.
    """

    def __init__(self, parts: Sequence[OpenVolume], channels: Sequence[int] | None = None) -> None:
        total = sum(part.shape[0] for part in parts)
        self.parts = list(parts)
        self.channels = list(range(total)) if channels is None else list(channels)
        dtype = np.result_type(*[part.dtype for part in parts])
        super().__init__(parts[0].path, (len(self.channels), *parts[0].shape[1:]), dtype, parts[0].affine)

    @property
    def filled(self) -> int:
        """Voxels that were filled in all of them."""
        return sum(part.filled for part in self.parts)

    def close(self) -> None:
        """Closes all of them."""
        for part in self.parts:
            part.close()

    def _part(self, axis: int, start: int, stop: int) -> np.ndarray:
        return np.concatenate([part.read(axis, start, stop) for part in self.parts])[self.channels]


def in_blocks(volume: OpenVolume) -> Iterator[np.ndarray]:
    """Reads a volume from its first slice to its last along the axis that files are written along.

    Args:
        volume: the volume.

    Yields:
        Blocks of about 8 MB, shape (C, X, Y, n).
    """
    depth = volume.shape[3]
    step = slices_a_block(volume, depth)
    for start in range(0, depth, step):
        yield volume.read(2, start, min(start + step, depth))


def slices_a_block(volume: OpenVolume, depth: int) -> int:
    """How many slices of a volume make a block.

    Args:
        volume: the volume.
        depth: its slices along the axis in question.

    Returns:
        At least 1.
    """
    return max(1, _BLOCK * depth // (math.prod(volume.shape) * volume.dtype.itemsize))


def read_whole(volume: OpenVolume) -> MetaTensor:
    """Reads a volume into memory.

    Args:
        volume: the volume.

    Returns:
        Shape (C, X, Y, Z).

    Raises:
        InputError: as :meth:`OpenVolume.read`.
    """
    voxels = volume.read(2, 0, volume.shape[3])
    tensor = torch.from_numpy(voxels if voxels.flags.writeable else voxels.copy())
    return MetaTensor(tensor, affine=torch.from_numpy(volume.affine), meta=dict(volume.meta))
