# SPDX-License-Identifier: Apache-2.0
"""Which slices of a data set's volumes to segment, and in which window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_dino.transforms.plane import Plane, plane_axcodes

__all__ = ["in_plane", "shared_window", "slice_plane"]

_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # across the axes R, A, S that MONAI's analysis reports
_AXIS = dict(zip("RASLPI", (0, 1, 2) * 2, strict=True))
_ANISOTROPIC = 1.5  # thicker slices than this times the finest spacing are not to be cut across
_CLEARLY_SHORTER = 0.9
_ONE_SPACING = 1.05
_WINDOW_STEP = 16
_OUTLYING = 2.0


def slice_plane(spacing: Sequence[float], shape: Sequence[float]) -> Plane:
    """Chooses the plane of the slices.

    Anisotropic volumes are cut along their thick slices. The others are cut across their shortest axis, so that a slice
    shows most; axial wins where that makes little difference.

    Args:
        spacing: mm along R, A and S.
        shape: voxels along them; pictures have two axes, or a third of one voxel.

    Returns:
        The plane.
    """
    if len(shape) < 3 or shape[2] == 1:
        return "axial"
    if max(spacing) >= _ANISOTROPIC * min(spacing):
        return _PLANES[max((2, 1, 0), key=lambda axis: spacing[axis])]
    extent = [s * n for s, n in zip(spacing, shape, strict=True)]
    shortest = min((2, 1, 0), key=lambda axis: extent[axis])
    return _PLANES[shortest] if extent[shortest] < _CLEARLY_SHORTER * extent[2] else "axial"


def in_plane(values: Sequence[float], plane: Plane, across: bool = False) -> list[float]:
    """Takes the values of rows and columns of a plane's slices, or that of the axis across them.

    Args:
        values: along R, A and S; a missing third is 1.
        plane: the plane.
        across: whether the value of the axis across the slices is wanted.

    Returns:
        [rows, columns], or [slices].
    """
    padded = [*values, 1][:3]
    codes = plane_axcodes(plane)
    return [padded[_AXIS[code]] for code in (codes[2:] if across else codes[:2])]


def shared_window(stats: Mapping[str, Any], plane: Plane) -> list[int] | None:
    """The window in voxels that holds every slice, where images share one scale and differ in size.

    A network that sees windows of it sees every structure at one scale; whole slices of unequal sizes, resized to a
    square, would not be.

    Args:
        stats: ``image_stats`` of the analysis.
        plane: the plane.

    Returns:
        Height and width, multiples of 16; ``None`` for pictures, which share no scale, and where the spacing differs,
        the sizes do not, or one is far above the others.
    """
    if [*stats["shape"]["max"], 1][2] == 1:
        return None
    fine, coarse = (in_plane(stats["spacing"][k], plane) for k in ("min", "max"))
    if any(c > _ONE_SPACING * f for f, c in zip(fine, coarse, strict=True)):
        return None
    smallest, middle, largest = (in_plane(stats["shape"][k], plane) for k in ("min", "median", "max"))
    if smallest == largest or any(n > _OUTLYING * m for n, m in zip(largest, middle, strict=True)):
        return None
    return [-(-int(n) // _WINDOW_STEP) * _WINDOW_STEP for n in largest]
