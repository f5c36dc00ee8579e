# SPDX-License-Identifier: Apache-2.0
"""Metrics of a classification."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.ranking import roc_areas, share

__all__ = ["CLASSIFICATION_METRICS", "classification_metric", "weighted_classification"]

CLASSIFICATION_METRICS = (
    "auroc", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "sensitivity", "specificity",
)  # fmt: skip


def classification_metric(name: str, probabilities: np.ndarray, truth: np.ndarray) -> float:
    """One metric of predicted probabilities, with scikit-learn's definitions.

    The predicted class is the one of the highest probability, the first of those that tie.

    - ``auroc``: of class 1 for two classes; the mean over the classes, each against the rest, for more. NaN where a
      class is absent from ``truth``.
    - ``accuracy``; ``balanced_accuracy``: the mean recall of the classes in the truth.
    - ``precision``, ``recall``, ``f1``: means over the classes that occur in the truth or the prediction; a class that
      is never predicted has a precision of 0.
    - ``sensitivity``, ``specificity``: the shares of the positive and of the negative cases that are found to be so.
      For two classes the positive one is class 1; for more, each class in turn is, and the mean is over those for which
      it is defined (so that the sensitivity is the balanced accuracy). NaN where there is no such case.

    Args:
        name: one of :data:`CLASSIFICATION_METRICS`.
        probabilities: shape (N, classes).
        truth: class numbers, shape (N,).

    Returns:
        The metric; NaN for no cases.

    Raises:
        ConfigurationError: for an unknown name.
        InputError: when a probability is not a finite number, or a class number is none of the classes.
    """
    return float(weighted_classification(name, probabilities, truth, np.ones((1, len(truth))))[0])


def weighted_classification(name: str, probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """:func:`classification_metric` of many draws of the same cases at once, as a bootstrap makes them.

    Args:
        name: see there, as for the others.
        probabilities: shape (N, classes).
        truth: shape (N,).
        weights: how often each draw has each case, shape (draws, N).

    Returns:
        The metric of each draw, NaN where it is undefined, shape (draws,).

    Raises:
        ConfigurationError: see there, as for the next.
        InputError: see there.
    """
    if name not in CLASSIFICATION_METRICS:
        raise ConfigurationError(f"metric: unknown {name!r}, expected one of {', '.join(CLASSIFICATION_METRICS)}")
    if len(truth) == 0:
        return np.full(len(weights), np.nan)
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities: some are not finite; check the network, or set precision to fp32")
    classes = probabilities.shape[1]
    if truth.min() < 0 or truth.max() >= classes:
        raise InputError(f"truth: classes run from {truth.min()} to {truth.max()}, but there are {classes} columns")
    if name == "auroc":
        numbers = [1] if classes == 2 else range(classes)
        areas = [roc_areas(probabilities[:, k], truth == k, weights) for k in numbers]
        return np.asarray(np.mean(areas, axis=0))
    cells = np.eye(classes**2)[truth * classes + probabilities.argmax(axis=1)]
    return _of_confusion(name, (weights @ cells).reshape(-1, classes, classes))


def _of_confusion(name: str, counts: np.ndarray) -> np.ndarray:
    """A metric of counts (draws, truth, prediction)."""
    right = counts.diagonal(axis1=1, axis2=2)
    true, predicted, cases = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))[:, None]
    if name == "accuracy":
        return share(right.sum(axis=1), cases[:, 0])
    if name in ("balanced_accuracy", "sensitivity", "specificity"):
        found, of = (cases - true - predicted + right, cases - true) if name == "specificity" else (right, true)
        each = share(found, of)
        positive_alone = len(counts[0]) == 2 and name != "balanced_accuracy"
        return each[:, 1] if positive_alone else share(np.where(of > 0, each, 0).sum(axis=1), (of > 0).sum(axis=1))
    found, of = {"precision": (right, predicted), "recall": (right, true), "f1": (2 * right, true + predicted)}[name]
    occurs = (true > 0) | (predicted > 0)
    return share(np.where(of > 0, share(found, of), 0).sum(axis=1), occurs.sum(axis=1))
