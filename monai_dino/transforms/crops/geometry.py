# SPDX-License-Identifier: Apache-2.0
"""Where a view lies in its slice and in the world."""

from __future__ import annotations

import numpy as np

__all__ = ["view_affines", "view_to_slice"]


def view_to_slice(box: np.ndarray, flip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Matrices from pixels of views to pixels of the slice (pixel centres are whole numbers).

    Args:
        box: top, left, height, width, shape (V, 4).
        flip: whether rows and whether columns are reversed, shape (V, 2).
        size: height and width of the views.

    Returns:
        float64, shape (V, 4, 4); the third axis is the slice's own.
    """
    step = box[:, 2:] / np.asarray(size)
    step = np.where(flip, -step, step)
    start = np.where(flip, box[:, :2] + box[:, 2:], box[:, :2]) + step / 2 - 0.5
    matrices = np.tile(np.eye(4), (len(box), 1, 1))
    matrices[:, [0, 1], [0, 1]] = step
    matrices[:, :2, 3] = start
    return matrices


def view_affines(affine: np.ndarray, box: np.ndarray, flip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Matrices from pixels of views to world coordinates in mm.

    Args:
        affine: of the slice, shape (4, 4), or of each view's slice, shape (V, 4, 4).
        box: top, left, height, width, shape (V, 4).
        flip: whether rows and whether columns are reversed, shape (V, 2).
        size: height and width of the views.

    Returns:
        float64, shape (V, 4, 4).
    """
    affines: np.ndarray = np.asarray(affine) @ view_to_slice(box, flip, size)
    return affines
