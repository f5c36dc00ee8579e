# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from monai_dino.evaluation import bootstrap, classification_metric, label_metrics
from monai_dino.evaluation.folded_metrics import folded_estimates

LABEL, PATIENT = np.arange(24) % 3, [f"p{k:02d}" for k in np.arange(24) // 2]  # in order, so that draws are the same
FOLD = np.arange(24) // 8
SCORES = np.random.default_rng(0).dirichlet(np.ones(3), 24) + np.eye(3)[LABEL] / 2


@pytest.mark.parametrize("name", ["auroc", "balanced_accuracy", "f1"])
def test_intervals_are_of_the_mean_over_folds(name: str) -> None:
    """As the plain bootstrap over patients gives them, fold by fold; a draw counts the folds where it is defined."""
    undefined = []

    def mean_over_folds(rows: np.ndarray) -> float:
        parts = [rows[FOLD[rows] == k] for k in range(3)]
        each = [classification_metric(name, SCORES[part], LABEL[part]) for part in parts]
        defined = [value for value in each if not math.isnan(value)]
        undefined.append(3 - len(defined))
        return sum(defined) / len(defined) if defined else math.nan

    expected = bootstrap(mean_over_folds, 24, PATIENT, resamples=100)
    found = folded_estimates(SCORES, LABEL, FOLD, np.array(PATIENT), 100)[name]
    assert (found.estimate.low, found.estimate.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == found.estimate.value == pytest.approx(expected.value)
    assert (found.folds, found.estimate.n, undefined[0]) == (3, 24, 0)
    if name == "auroc":
        assert {1, 2} <= set(undefined)


def test_pooled_intervals_are_of_all_predictions() -> None:
    expected = bootstrap(
        lambda rows: classification_metric("auroc", SCORES[rows], LABEL[rows]), 24, PATIENT, resamples=100
    )
    pooled = folded_estimates(SCORES, LABEL, FOLD, np.array(PATIENT), 100)["auroc"].pooled
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_folds_without_a_class_do_not_count() -> None:
    """The estimate is of the cases of the other folds alone; without any fold there is none."""
    kept = (FOLD == 0) | (LABEL != 2)
    patient = np.array(PATIENT)
    found = folded_estimates(SCORES[kept], LABEL[kept], FOLD[kept], patient[kept], 100)["auroc"]
    alone = FOLD == 0
    single = folded_estimates(SCORES[alone], LABEL[alone], FOLD[alone], patient[alone], 100)["auroc"]
    assert found.folds == 1
    assert found.estimate == single.estimate
    assert math.isnan(found.sd)
    kept = LABEL != 2
    nothing = folded_estimates(SCORES[kept], LABEL[kept], FOLD[kept], patient[kept], 100)["auroc"]
    assert (nothing.folds, nothing.estimate.n) == (0, 0)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.estimate.low)


def test_several_labels() -> None:
    number = np.arange(24)
    label = np.stack([number % 2, number % 3 == 0, number % 4 < 2], axis=1).astype(int)  # both in each fold
    found = folded_estimates(SCORES, label, FOLD, np.array(PATIENT), 100)["average_precision"]
    parts = np.split(np.arange(24), 3)
    each = [label_metrics("average_precision", SCORES[part], label[part]).mean() for part in parts]
    assert (found.mean, found.sd) == pytest.approx((np.mean(each), np.std(each, ddof=1)))
    assert found.estimate.low < found.mean < found.estimate.high
