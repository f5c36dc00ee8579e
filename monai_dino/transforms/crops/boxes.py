# SPDX-License-Identifier: Apache-2.0
"""Boxes of random views."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.ranges import log_uniform

__all__ = ["box_sizes", "boxes_about", "boxes_anywhere", "boxes_with"]

_ATTEMPTS = 10


def box_sizes(
    rng: np.random.RandomState, n: int, shape: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    """Draws heights and widths as torchvision's ``RandomResizedCrop`` does: area even, aspect even in its logarithm.

    Ten sizes are tried; where none fits into the image, the largest of the nearest allowed aspect is taken.

    Args:
        rng: source of randomness.
        n: number of boxes.
        shape: height and width of the image.
        scale: least and greatest share of the image's area.
        ratio: least and greatest width over height.

    Returns:
        int64, shape (n, 2).
    """
    area = rng.uniform(*scale, size=(n, _ATTEMPTS)) * shape[0] * shape[1]
    aspect = log_uniform(rng, ratio, n * _ATTEMPTS).reshape(n, _ATTEMPTS)
    sizes = np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect)], axis=-1).round().astype(np.int64)
    fits = np.all((sizes > 0) & (sizes <= np.asarray(shape)), axis=-1)
    chosen: np.ndarray = sizes[np.arange(n), fits.argmax(axis=1)]
    aspect_of_image = np.clip(shape[1] / shape[0], *ratio)
    largest = (min(shape[0], round(shape[1] / aspect_of_image)), min(shape[1], round(shape[0] * aspect_of_image)))
    return np.where(np.any(fits, axis=1, keepdims=True), chosen, np.maximum(largest, 1))


def boxes_anywhere(rng: np.random.RandomState, sizes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Puts boxes anywhere in the image.

    Args:
        rng: source of randomness.
        sizes: heights and widths, shape (n, 2).
        shape: of the image.

    Returns:
        Top, left, height, width, int64, shape (n, 4).
    """
    return np.concatenate([rng.randint(0, np.asarray(shape) - sizes + 1), sizes], axis=1)


def boxes_about(sizes: np.ndarray, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Centres boxes on pixels; a box that would leave the image is moved inside, and still has its pixel.

    Args:
        sizes: heights and widths, shape (n, 2).
        centres: rows and columns, shape (n, 2).
        shape: of the image.

    Returns:
        Top, left, height, width, int64, shape (n, 4).
    """
    return np.concatenate([np.clip(centres - sizes // 2, 0, np.asarray(shape) - sizes), sizes], axis=1)


def boxes_with(
    rng: np.random.RandomState, sizes: np.ndarray, centres: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Puts boxes anywhere where they have a pixel.

    Args:
        rng: source of randomness.
        sizes: heights and widths, shape (n, 2).
        centres: row and column of the pixels, shape (n, 2).
        shape: of the image.

    Returns:
        Top, left, height, width, int64, shape (n, 4).
    """
    lowest, highest = np.maximum(centres - sizes + 1, 0), np.minimum(centres, np.asarray(shape) - sizes)
    return np.concatenate([rng.randint(lowest, highest + 1), sizes], axis=1)
