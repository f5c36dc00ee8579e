# SPDX-License-Identifier: Apache-2.0
"""Metrics of a classification."""

from __future__ import annotations

import warnings

import numpy as np

from monai_dino.errors import InputError

__all__ = ["CLASSIFICATION_METRICS", "classification_metric"]

CLASSIFICATION_METRICS = ("auroc", "accuracy", "balanced_accuracy", "precision", "recall", "f1")


def classification_metric(name: str, probabilities: np.ndarray, truth: np.ndarray) -> float:
    """One metric of predicted probabilities, by scikit-learn.

    The predicted class is the one of the highest probability. AUROC is that of class 1 for two classes, and the mean
    over the classes, each against the rest, for more; it is NaN where a class is absent from ``truth``. Precision,
    recall and F1 are means over the classes that occur in the truth or the prediction; a class that is never predicted
    has a precision of 0. Balanced accuracy is the mean recall of the classes in the truth.

    Args:
        name: one of :data:`CLASSIFICATION_METRICS`.
        probabilities: shape (N, classes).
        truth: class numbers, shape (N,).

    Returns:
        The metric; NaN for no cases.

    Raises:
        InputError: when a probability is not a finite number.
    """
    from sklearn import metrics

    if len(truth) == 0:
        return float("nan")
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities: some are not finite; check the network, or set precision to fp32")
    predicted = probabilities.argmax(axis=1)
    if name == "auroc":
        return _auroc(probabilities, truth)
    if name == "accuracy":
        return float(metrics.accuracy_score(truth, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes in the prediction alone
        if name == "balanced_accuracy":
            return float(metrics.balanced_accuracy_score(truth, predicted))
    score = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}[name]
    return float(score(truth, predicted, average="macro", zero_division=0))


def _auroc(probabilities: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    classes = probabilities.shape[1]
    if len(np.unique(truth)) < classes:
        return float("nan")
    numbers = [1] if classes == 2 else range(classes)
    return float(np.mean([roc_auc_score(truth == k, probabilities[:, k]) for k in numbers]))
