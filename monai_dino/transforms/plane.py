# SPDX-License-Identifier: Apache-2.0
"""Anatomical planes: which orientation makes the slices of a plane the last axis, upright as a reader sees them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Orientationd

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["OrientToPlaneD", "OrientToPlaneDict", "OrientToPlaned", "Plane", "check_slice_area", "plane_axcodes"]

Plane = Literal["axial", "coronal", "sagittal"]

# Rows run downwards and columns to the right of the picture; patient left is on its right.
_AXCODES = {"axial": "PLS", "coronal": "ILA", "sagittal": "IPL"}


def plane_axcodes(plane: Plane) -> str:
    """The orientation in which the slices of a plane are the last axis.

    Args:
        plane: ``axial``, ``coronal`` or ``sagittal``.

    Returns:
        Axis codes for :class:`monai.transforms.Orientationd`: the directions in which rows, columns and slices run.

    Raises:
        ConfigurationError: for another plane.

    Example:
        >>> plane_axcodes("axial")
        'PLS'
    """
    if plane not in get_args(Plane):
        raise ConfigurationError(f"plane: unknown {plane!r}, expected one of {', '.join(get_args(Plane))}")
    return _AXCODES[plane]


def check_slice_area(shape: Sequence[int], plane: Plane, name: Any) -> None:
    """Checks that the slices of a turned volume have an area.

    Args:
        shape: (rows, columns, slices).
        plane: the plane.
        name: what the error calls the volume.

    Raises:
        InputError: when they are one voxel wide.
    """
    rows, columns, slices = shape
    if min(rows, columns) == 1 and slices > 1:
        raise InputError(
            f"{name}: its slices in the {plane} plane are {rows} x {columns} voxels; choose another plane (pictures "
            f"are axial)"
        )


class OrientToPlaned(Orientationd):
    """Turns volumes so that the slices of a plane are the last axis, upright; it can be inverted.

    :class:`monai.transforms.Orientationd` with the plane's orientation, and with a check that the slices have an area.

    Args:
        keys: keys of the volumes.
        plane: ``axial``, ``coronal`` or ``sagittal``; pictures (PNG, ...) are axial.
        allow_missing_keys: whether a key may be missing.

    Raises:
        ConfigurationError: for another plane.
        InputError: when called, for a volume whose slices in that plane are one voxel wide.
    """

    def __init__(self, keys: KeysCollection, plane: Plane, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, axcodes=plane_axcodes(plane), labels=None, allow_missing_keys=allow_missing_keys)
        self.plane = plane

    def __call__(self, data: Mapping[Hashable, torch.Tensor], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Turns the volumes of one item.

        Args:
            data: item with MetaTensors (C, X, Y, Z).
            lazy: as for MONAI's transforms.

        Returns:
            A new item with MetaTensors (C, rows, columns, slices).
        """
        item: dict[Hashable, Any] = super().__call__(data, lazy=lazy)
        for key in self.key_iterator(item):
            volume = item[key]
            lazily = isinstance(volume, MetaTensor)  # then it may not have been turned yet
            shape = volume.peek_pending_shape() if lazily else volume.shape[1:]
            check_slice_area(shape, self.plane, volume.meta.get("filename_or_obj", key) if lazily else key)
        return item


OrientToPlaneD = OrientToPlaneDict = OrientToPlaned
