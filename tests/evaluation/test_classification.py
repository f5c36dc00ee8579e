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
from monai_dino.evaluation import classification_metric
from monai_dino.evaluation.classification import CLASSIFICATION_METRICS, weighted_classification


def cases(least: int = 1) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Probabilities with ties, and the true classes, of which some may be absent."""

    def build(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        scores = rng.integers(1, 4, size=(n, classes)).astype(float)
        return scores / scores.sum(axis=1, keepdims=True), rng.integers(classes, size=n)

    return st.builds(build, st.integers(least, 25), st.integers(2, 4), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=25)
@given(cases())
def test_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = case
    predicted = probabilities.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
            "precision": metrics.precision_score(truth, predicted, average="macro", zero_division=0),
            "recall": metrics.recall_score(truth, predicted, average="macro", zero_division=0),
            "f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
        }
        of = [1] if probabilities.shape[1] == 2 else np.unique(truth)
        if np.isin(of, truth).all():
            expected["sensitivity"] = metrics.recall_score(truth, predicted, labels=of, average="macro")
        against = [
            k for k in ([1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])) if (truth != k).any()
        ]
        if against:
            rates = [metrics.recall_score(truth == k, predicted == k, pos_label=False) for k in against]
            expected["specificity"] = np.mean(rates)
    for name, value in expected.items():
        assert classification_metric(name, probabilities, truth) == pytest.approx(value)


@settings(deadline=None, max_examples=25)
@given(cases(least=8))
def test_auroc_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = case
    classes = probabilities.shape[1]
    found = classification_metric("auroc", probabilities, truth)
    if len(np.unique(truth)) < classes:
        assert math.isnan(found)
    elif classes == 2:
        assert found == pytest.approx(metrics.roc_auc_score(truth, probabilities[:, 1]))
    else:
        assert found == pytest.approx(metrics.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))


def test_auroc_is_that_of_pairs_ranked_right() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, 30) / 5, np.arange(30) % 2
    apart = scores[truth == 1][:, None] - scores[truth == 0]
    expected = ((apart > 0) + 0.5 * (apart == 0)).mean()
    assert classification_metric("auroc", np.stack([1 - scores, scores], 1), truth) == pytest.approx(expected)


def test_ties_go_to_the_first_class() -> None:
    probabilities = np.full((4, 2), 0.5)
    assert classification_metric("accuracy", probabilities, np.array([0, 0, 0, 1])) == 0.75
    assert classification_metric("auroc", probabilities, np.array([0, 0, 0, 1])) == 0.5


def test_class_that_is_never_predicted() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    truth = np.array([0, 1])
    assert classification_metric("precision", probabilities, truth) == pytest.approx(0.25)  # of 1/2 and 0
    assert classification_metric("recall", probabilities, truth) == pytest.approx(0.5)


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
def test_one_case(name: str) -> None:
    found = classification_metric(name, np.array([[0.3, 0.7]]), np.array([1]))
    assert math.isnan(found) if name in ("auroc", "specificity") else found == 1.0


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
def test_no_case(name: str) -> None:
    assert math.isnan(classification_metric(name, np.zeros((0, 2)), np.zeros(0, dtype=int)))


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_undefined_probabilities_are_refused(name: str, value: float) -> None:
    # The highest of [NaN, 0.5] would be the first: a silent prediction.
    with pytest.raises(InputError, match="not finite"):
        classification_metric(name, np.array([[0.3, 0.7], [value, 0.5]]), np.array([1, 0]))


def test_sensitivity_and_specificity_of_two_classes_are_those_of_class_1() -> None:
    probabilities = np.array([[0.2, 0.8], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    truth = np.array([1, 1, 1, 0, 0])
    assert classification_metric("sensitivity", probabilities, truth) == pytest.approx(2 / 3)
    assert classification_metric("specificity", probabilities, truth) == pytest.approx(1 / 2)
    assert math.isnan(classification_metric("sensitivity", probabilities[3:], truth[3:]))


@settings(deadline=None, max_examples=15)
@given(cases(least=4), st.integers(0, 2**32 - 1))
def test_weights_are_how_often_a_case_is_drawn(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    probabilities, truth = case
    drawn = np.random.default_rng(seed).integers(len(truth), size=(3, len(truth)))
    weights = np.stack([np.bincount(rows, minlength=len(truth)) for rows in drawn]).astype(float)
    for name in CLASSIFICATION_METRICS:
        found = weighted_classification(name, probabilities, truth, weights)
        np.testing.assert_allclose(
            found, [classification_metric(name, probabilities[rows], truth[rows]) for rows in drawn], atol=1e-12
        )


def test_what_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown 'acc'"):
        classification_metric("acc", np.array([[0.3, 0.7]]), np.array([1]))
    with pytest.raises(InputError, match="there are 2 columns"):
        classification_metric("accuracy", np.array([[0.3, 0.7]]), np.array([2]))
