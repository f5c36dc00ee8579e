# SPDX-License-Identifier: Apache-2.0
"""Metrics of several labels per case, each there or not."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.classification import CLASSIFICATION_METRICS, weighted_classification
from monai_dino.evaluation.ranking import average_precisions, roc_areas, share

__all__ = ["MULTILABEL_METRICS", "label_metrics", "metric_names", "metric_of", "multilabel_metric"]

MULTILABEL_METRICS = ("auroc", "average_precision", "precision", "recall", "f1", "specificity")


def label_metrics(
    name: str, probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """One metric of each label, with scikit-learn's definitions.

    A label is predicted where its probability is above 0.5. Never 0 or 1 for want of cases, but NaN: AUROC where the
    label has no positive or no negative case, average precision and recall (sensitivity) where it has no positive one,
    specificity where it has no negative one, precision and F1 where it is neither there nor predicted. The precision of
    a label that is there and never predicted is 0.

    Args:
        name: one of :data:`MULTILABEL_METRICS`.
        probabilities: shape (N, L).
        truth: 0 or 1 of each, shape (N, L).
        weights: how often each of several draws has each case, shape (draws, N); ``None`` for each case once.

    Returns:
        The metric of each label, shape (L,), or (draws, L).

    Raises:
        ConfigurationError: for an unknown name.
        InputError: for shapes that differ, values that are not 0 or 1, or probabilities that are not finite.
    """
    if name not in MULTILABEL_METRICS:
        raise ConfigurationError(f"metric: unknown {name!r}, expected one of {', '.join(MULTILABEL_METRICS)}")
    if truth.ndim != 2 or truth.shape != probabilities.shape or not np.isin(truth, (0, 1)).all():
        raise InputError(f"labels: expected 0 or 1 of shape {probabilities.shape}, got {truth.shape}")
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities: some are not finite; check the network, or set precision to fp32")
    if weights is None:
        each: np.ndarray = label_metrics(name, probabilities, truth, np.ones((1, len(truth))))[0]
        return each
    if not len(truth):
        return np.full((len(weights), truth.shape[1]), np.nan)
    there = truth.astype(bool)
    if name in ("auroc", "average_precision"):
        ranked = roc_areas if name == "auroc" else average_precisions
        return np.stack([ranked(p, t, weights) for p, t in zip(probabilities.T, there.T, strict=True)], axis=1)
    said = probabilities > 0.5
    both, true, predicted = (weights @ which for which in (there & said, there, said))
    cases = weights.sum(axis=1, keepdims=True)
    found, of = {
        "precision": (both, np.where(true > 0, np.maximum(predicted, 1), predicted)),
        "recall": (both, true),
        "f1": (2 * both, true + predicted),
        "specificity": (cases - true - predicted + both, cases - true),
    }[name]
    return share(found, of)


def multilabel_metric(name: str, probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The mean of a metric over labels (macro average).

    Args:
        name: see :func:`label_metrics`, as for the others.
        probabilities: shape (N, L).
        truth: shape (N, L).

    Returns:
        The mean; NaN for no cases, or where it is undefined for one of the labels, since the mean would be one of other
        labels.

    Raises:
        ConfigurationError: see :func:`label_metrics`, as for the next.
        InputError: see there.
    """
    return float(label_metrics(name, probabilities, truth).mean())


def metric_names(truth: np.ndarray) -> tuple[str, ...]:
    """The metrics that there are for labels.

    Args:
        truth: class numbers (N,), or several labels of each (N, L).

    Returns:
        Their names.
    """
    return MULTILABEL_METRICS if truth.ndim == 2 else CLASSIFICATION_METRICS


def metric_of(name: str, scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One metric of many draws of cases, of class numbers (N,) or of several labels (N, L).

    Args:
        name: one of :func:`metric_names`.
        scores: shape (N, C).
        truth: the labels.
        weights: how often each draw has each case, shape (draws, N).

    Returns:
        Shape (draws,); see :func:`classification_metric` and :func:`multilabel_metric`.

    Raises:
        ConfigurationError: see there, as for the next.
        InputError: see there.
    """
    if truth.ndim == 1:
        return weighted_classification(name, scores, truth, weights)
    means: np.ndarray = label_metrics(name, scores, truth, weights).mean(axis=1)
    return means
