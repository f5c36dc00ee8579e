# SPDX-License-Identifier: Apache-2.0
"""How well scores rank positive cases before negative ones, of many draws of the same cases at once."""

from __future__ import annotations

import numpy as np

__all__ = ["average_precisions", "roc_areas", "share"]


def share(part: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Divides.

    Args:
        part: what is counted.
        of: out of how many, the same shape.

    Returns:
        The share; NaN of none.
    """
    shares: np.ndarray = np.divide(part, of, out=np.full(part.shape, np.nan), where=of > 0)
    return shares


def roc_areas(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the share of pairs of a positive and a negative case that are ranked right.

    Pairs that tie count half (Mann and Whitney 1947).

    Args:
        scores: shape (N,).
        positive: whether a case is positive, shape (N,).
        weights: how often each draw has each case, shape (draws, N).

    Returns:
        Shape (draws,); NaN where a draw has no positive, or no negative case.
    """
    ones, zeros = _ranked(scores, positive, weights)
    below = zeros.sum(axis=1, keepdims=True) - np.cumsum(zeros, axis=1) + zeros / 2
    return share((ones * below).sum(axis=1), ones.sum(axis=1) * zeros.sum(axis=1))


def average_precisions(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the precision at each positive case, those that tie taken together, as in scikit-learn.

    Args:
        scores: see :func:`roc_areas`, as for the others.
        positive: shape (N,).
        weights: shape (draws, N).

    Returns:
        Shape (draws,); NaN where a draw has no positive case.
    """
    ones, zeros = _ranked(scores, positive, weights)
    hits = np.cumsum(ones, axis=1)
    precision = share(hits, hits + np.cumsum(zeros, axis=1))
    return share(np.where(ones > 0, precision * ones, 0).sum(axis=1), ones.sum(axis=1))


def _ranked(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative cases of each draw at each score, the highest first, (draws, scores)."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    sides = (np.where(side, weights, 0.0)[:, order] for side in (positive, ~positive))
    ones, zeros = (np.add.reduceat(side, starts, axis=1) for side in sides)
    return ones, zeros
