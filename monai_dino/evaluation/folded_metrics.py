# SPDX-License-Identifier: Apache-2.0
"""Metrics of a cross-validation: means over folds, and those of all predictions together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.intervals import Estimate
from monai_dino.evaluation.multilabel import metric_names, metric_of
from monai_dino.evaluation.ranking import share

__all__ = ["FoldedEstimate", "folded_estimates"]


@dataclass(frozen=True)
class FoldedEstimate:
    """A metric over folds.

    Attributes:
        mean: mean of the folds in which it is defined.
        sd: their standard deviation (n - 1).
        folds: how many these are.
        estimate: the mean with its 95 % bootstrap interval over the patients of these folds. Where a resample leaves
            the metric undefined in some of them, such as AUROC in a fold from which it draws no case of a class, its
            mean is over the others.
        pooled: the metric of the predictions of all folds together, with its interval. A ranking, such as AUROC,
            suffers here where the probes of the folds scale their scores differently.
    """

    mean: float
    sd: float
    folds: int
    estimate: Estimate  # before the pooled one, since the report shows the first
    pooled: Estimate


def folded_estimates(
    scores: np.ndarray, label: np.ndarray, fold: np.ndarray, patient: np.ndarray, resamples: int
) -> dict[str, FoldedEstimate]:
    """Every metric of the scores of a cross-validation.

    Args:
        scores: of each case by the probe that had not seen it, shape (N, C).
        label: class numbers (N,), or several labels of each (N, L).
        fold: the fold of each case, from 0.
        patient: the patient of each case.
        resamples: draws of the bootstrap.

    Returns:
        Name of the metric -> estimate.
    """
    return {name: _folded(name, scores, label, fold, patient, resamples) for name in metric_names(label)}


def _folded(
    name: str, scores: np.ndarray, label: np.ndarray, fold: np.ndarray, patient: np.ndarray, resamples: int
) -> FoldedEstimate:
    once = np.ones((1, len(fold)))
    each = _by_fold(name, scores, label, fold, once)[:, 0]
    defined = np.unique(fold)[~np.isnan(each)]
    each, rows = each[~np.isnan(each)], np.isin(fold, defined)
    mean = partial(_mean_over_folds, name, scores[rows], label[rows], fold[rows])
    estimate = crossed_bootstrap(mean, 1, patient[rows], resamples=resamples)
    pooled = crossed_bootstrap(partial(_pooled, name, scores, label), 1, patient, resamples=resamples)
    sd = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    return FoldedEstimate(estimate.value, sd, len(each), estimate, pooled)


def _by_fold(name: str, scores: np.ndarray, label: np.ndarray, fold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The metric within each fold, shape (folds, draws)."""
    parts = [fold == number for number in np.unique(fold)]
    return np.stack([metric_of(name, scores[part], label[part], weights[:, part]) for part in parts])


def _mean_over_folds(
    name: str, scores: np.ndarray, label: np.ndarray, fold: np.ndarray, _: int, weights: np.ndarray
) -> np.ndarray:
    each = _by_fold(name, scores, label, fold, weights)
    defined = ~np.isnan(each)
    return share(np.where(defined, each, 0).sum(axis=0), defined.sum(axis=0))


def _pooled(name: str, scores: np.ndarray, label: np.ndarray, _: int, weights: np.ndarray) -> np.ndarray:
    return metric_of(name, scores, label, weights)
