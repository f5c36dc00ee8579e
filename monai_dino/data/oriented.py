# SPDX-License-Identifier: Apache-2.0
"""The slices of a plane of a volume on disk, without the volume in memory."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from monai_dino.data.open_volume import OpenVolume
from monai_dino.transforms.plane import Plane, check_slice_area, plane_axcodes

__all__ = ["PlaneSlices"]


class PlaneSlices:
    """The slices of a plane, turned as :class:`monai_dino.transforms.OrientToPlaned` turns volumes.

    Args:
        volume: the volume, as it lies on disk.
        plane: the plane.
        name: what an error calls it; ``None`` accepts slices without an area.

    Attributes:
        shape: (C, rows, columns, slices).
        affine: of the turned volume, voxel indices to RAS millimetres, (4, 4).

    Raises:
        InputError: when the slices have no area.
    """

    def __init__(self, volume: OpenVolume, plane: Plane, name: str | None) -> None:
        self.volume = volume
        turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt(plane_axcodes(plane)))
        order = np.argsort(turn[:, 0])
        self.shape = (volume.shape[0], *(volume.shape[1:][axis] for axis in order))
        self.affine = volume.affine @ inv_ornt_aff(turn, volume.shape[1:])
        self._turn = turn
        self._axis = int(order[2])
        self._backwards = turn[self._axis, 1] < 0
        if name is not None:
            check_slice_area(self.shape[1:], plane, name)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Reads slices.

        Args:
            start: the first.
            stop: the one after the last.

        Returns:
            Shape (N, C, rows, columns), C-contiguous.
        """
        depth = self.shape[3]
        first, last = (depth - stop, depth - start) if self._backwards else (start, stop)
        block = np.moveaxis(self.volume.read(self._axis, first, last), 0, -1)
        return np.ascontiguousarray(apply_orientation(block, self._turn).transpose(2, 3, 0, 1))
