# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.multilabel import MULTILABEL_METRICS, label_metrics, multilabel_metric


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_equals_scikit_learn_or_is_undefined(n: int, labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, 5, (n, labels)) / 4, rng.integers(2, size=(n, labels))
    said = (scores > 0.5).astype(int)
    for k in range(labels):
        p, t, y = scores[:, k], truth[:, k], said[:, k]
        found = {name: label_metrics(name, scores, truth)[k] for name in MULTILABEL_METRICS}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = {
                "auroc": metrics.roc_auc_score(t, p) if len(set(t)) == 2 else math.nan,
                "average_precision": metrics.average_precision_score(t, p) if t.any() else math.nan,
                "precision": metrics.precision_score(t, y, zero_division=0) if t.any() or y.any() else math.nan,
                "recall": metrics.recall_score(t, y) if t.any() else math.nan,
                "f1": metrics.f1_score(t, y) if t.any() or y.any() else math.nan,
                "specificity": metrics.recall_score(1 - t, 1 - y) if not t.all() else math.nan,
            }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, nan_ok=True), name


def test_mean_over_labels_is_undefined_where_one_is() -> None:
    scores = np.array([[0.9, 0.2], [0.1, 0.3]])
    assert multilabel_metric("auroc", scores, np.array([[1, 1], [0, 0]])) == pytest.approx(0.5)
    assert math.isnan(multilabel_metric("auroc", scores, np.array([[1, 0], [0, 0]])))
    assert math.isnan(multilabel_metric("auroc", scores[:0], np.zeros((0, 2), dtype=int)))


def test_what_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown 'dice'"):
        label_metrics("dice", np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="expected 0 or 1 of shape"):
        label_metrics("auroc", np.zeros((2, 2)), np.full((2, 2), 2))
    with pytest.raises(InputError, match="not finite"):
        label_metrics("auroc", np.full((2, 2), np.nan), np.zeros((2, 2)))
