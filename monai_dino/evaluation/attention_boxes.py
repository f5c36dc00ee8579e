# SPDX-License-Identifier: Apache-2.0
"""Regions of a map and of a label, their boxes, and which of them belong together."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["ThresholdRule", "attended", "match_boxes", "regions"]

ThresholdRule = Literal["scaled", "mass"]


class Regions(NamedTuple):
    """Connected parts of a mask.

    Attributes:
        numbers: number of the part that a pixel is in, from 1, and 0 for none, shape (H, W).
        boxes: top, left, bottom and right of each, the last two exclusive, shape (N, 4).
    """

    numbers: np.ndarray
    boxes: np.ndarray


def attended(heat: np.ndarray, threshold: float, rule: ThresholdRule = "scaled") -> np.ndarray:
    """Where a map says that something is.

    Args:
        heat: values that are not negative, such as attention, shape (H, W).
        threshold: from 0 to 1.
        rule: ``scaled`` takes what is at least the threshold after scaling the map from its smallest value to its
            largest (DINO-MX, section 3.2); ``mass`` takes the largest values that together are that share of the sum
            (DINO, Caron et al., 2021, Fig. 3), all that tie with the last of them included.

    Returns:
        Boolean, shape (H, W). In a constant map nothing is attended to.

    Raises:
        ConfigurationError: for an unknown rule or a threshold beyond 0 to 1.
        InputError: for a map that is not (H, W), or holds values that are negative or not finite.
    """
    if rule not in get_args(ThresholdRule):
        raise ConfigurationError(f"rule: unknown {rule!r}, expected one of {', '.join(get_args(ThresholdRule))}")
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"threshold={threshold}: expected more than 0 and at most 1")
    heat = np.asarray(heat, dtype=float)
    if heat.ndim != 2 or heat.size == 0 or not np.isfinite(heat).all() or heat.min() < 0:
        raise InputError(f"heat: expected a map (H, W) of finite values from 0 up, got shape {heat.shape}")
    low, high = heat.min(), heat.max()
    if high - low <= 1e-6 * high:  # it differs by rounding alone
        return np.zeros(heat.shape, dtype=bool)
    if rule == "scaled":
        marked: np.ndarray = (heat - low) / (high - low) >= threshold
        return marked
    ordered = np.sort(heat, axis=None)[::-1]
    last = np.searchsorted(ordered.cumsum(), threshold * ordered.sum() * (1 - 1e-9))
    kept: np.ndarray = heat >= ordered[min(last, ordered.size - 1)]
    return kept


def regions(mask: np.ndarray) -> Regions:
    """Parts of a mask that touch, corners included.

    Of patches these are the clusters that DBSCAN finds with a radius of one diagonal and no smallest size.

    Args:
        mask: boolean, shape (H, W).

    Returns:
        The parts.
    """
    from scipy.ndimage import find_objects, label

    numbers, _ = label(mask, structure=np.ones((3, 3)))
    boxes = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in find_objects(numbers)]
    return Regions(numbers, np.array(boxes, dtype=np.int64).reshape(-1, 4))


def match_boxes(found: np.ndarray, wanted: np.ndarray, iou: float) -> np.ndarray:
    """Pairs boxes one to one, as many as possible, that overlap enough.

    Args:
        found: top, left, bottom, right, shape (N, 4).
        wanted: likewise, shape (M, 4).
        iou: smallest intersection over union of a pair, above 0.

    Returns:
        Numbers of the boxes of each pair, shape (pairs, 2).

    Raises:
        ConfigurationError: for an overlap that is not above 0 and at most 1.
    """
    if not 0 < iou <= 1:
        raise ConfigurationError(f"iou={iou}: expected more than 0 and at most 1")
    if not len(found) or not len(wanted):
        return np.empty((0, 2), dtype=np.int64)
    from monai.data.box_utils import box_iou
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    overlap = np.asarray(box_iou(found.astype(np.float64), wanted.astype(np.float64)))
    partner = maximum_bipartite_matching(csr_array(overlap >= iou - 1e-6), perm_type="column")
    pairs = np.flatnonzero(partner >= 0)
    return np.stack([pairs, partner[pairs]], axis=1).astype(np.int64)
