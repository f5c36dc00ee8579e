# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import knn_classify, multilabel_knn


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.integers(1, 5),
    st.integers(1, 9),
    st.sampled_from(["cosine", "euclidean"]),
)
def test_equals_scikit_learn(seed: int, count: int, classes: int, k: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    queries, features, k = rng.normal(size=(15, 5)), rng.normal(size=(count, 5)), min(k, count)
    labels = rng.integers(classes, size=count)
    scores = knn_classify(queries, features, labels, k, classes, metric=metric).numpy()
    peer = KNeighborsClassifier(k, metric=metric, algorithm="brute").fit(features, labels)
    expected = np.zeros((15, classes))
    expected[:, peer.classes_] = peer.predict_proba(queries)
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    votes = np.sort(expected, axis=1)
    clear = votes[:, -1] - votes[:, -2] > 1e-9 if classes > 1 else np.full(15, True)
    np.testing.assert_array_equal(scores.argmax(axis=1)[clear], peer.predict(queries)[clear])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_weighted_votes_equal_dinos_own_computation(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, features = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(n, 6)))) for n in (8, 30))
    labels = torch.from_numpy(rng.integers(3, size=30))
    similarity, indices = (queries @ features.T).topk(k, largest=True, sorted=True)
    hot = torch.nn.functional.one_hot(labels[indices], 3)
    expected = (hot * similarity.div(0.07).exp()[..., None]).sum(dim=1)
    scores = knn_classify(queries, features, labels, k, 3, temperature=0.07)
    torch.testing.assert_close(scores, expected / expected.sum(dim=1, keepdim=True), rtol=1e-4, atol=2e-6)


def test_a_tie_goes_to_the_class_of_the_nearest_then_to_the_lower_number() -> None:
    features = [[2.0], [3.0], [-1.0], [-4.0], [50.0]]
    labels = [0, 0, 1, 1, 2]
    scores = knn_classify([[0.0]], features, labels, 4, metric="euclidean")
    assert scores.argmax() == 1
    torch.testing.assert_close(scores, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64), atol=1.1e-6, rtol=0)
    assert knn_classify([[0.0]], [[1.0], [-1.0]], [1, 0], 2, metric="euclidean").argmax() == 0
    assert knn_classify([[0.0]], [[-1.0], [1.0]], [1, 0], 2, metric="euclidean").argmax() == 0


def test_collapsed_features_give_the_shares_of_the_classes() -> None:
    same = torch.randn(1, 384).expand(31, -1)
    labels = torch.tensor([0] * 6 + [1] * 15 + [2] * 10)
    scores = knn_classify(same, same, labels, 5)
    torch.testing.assert_close(scores, torch.tensor([[6, 15, 10]]).double().expand(31, -1) / 31)


def test_one_sample_absent_classes_and_fewer_than_k() -> None:
    assert knn_classify([[1.0, 0.0]], [[0.0, 1.0]], [2], 5, 4).tolist() == [[0, 0, 1, 0]]
    scores = knn_classify([[1.0, 0.0]], [[1.0, 0.1], [1.0, 0.2], [1.0, 0.3]], [0, 1, 1], 5)
    torch.testing.assert_close(scores, torch.tensor([[1, 2]]).double() / 3)


def test_half_precision_features() -> None:
    features = torch.randn(30, 8).bfloat16()
    labels = torch.arange(30) % 3
    groups = range(30)
    found, exact = (
        knn_classify(x, x, labels, query_groups=groups, groups=groups) for x in (features, features.double())
    )
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 1], None, "class number each"),
        ([0, 1, 3], 3, "run from 0 to 3, expected class numbers from 0 to 2"),
        ([0, -1, 1], None, "run from -1"),
        ([0.5, 1.0, 1.0], None, "whole class numbers"),
        ([float("nan"), 1.0, 1.0], None, "whole class numbers"),
    ],
)
def test_labels_that_are_no_classes(labels: list, classes: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        knn_classify(np.ones((1, 2)), np.ones((3, 2)), labels, num_classes=classes)


def ml_knn(queries: np.ndarray, features: np.ndarray, labels: np.ndarray, k: int, s: float) -> np.ndarray:
    """ML-kNN sample by sample, from the equations of the paper."""

    def near(x: np.ndarray, leave: int | None) -> list[int]:
        cosines = features @ x / np.linalg.norm(features, axis=1) / np.linalg.norm(x)
        return [i for i in np.argsort(-cosines) if i != leave][:k]

    result = np.zeros((len(queries), labels.shape[1]))
    for b in range(labels.shape[1]):
        with_label, without = np.zeros(k + 1), np.zeros(k + 1)
        for i, x in enumerate(features):
            delta = labels[near(x, i), b].sum()
            (with_label if labels[i, b] else without)[delta] += 1
        prior = (s + labels[:, b].sum()) / (2 * s + len(labels))
        for q, x in enumerate(queries):
            count = labels[near(x, None), b].sum()
            yes = prior * (s + with_label[count]) / (s * (k + 1) + with_label.sum())
            no = (1 - prior) * (s + without[count]) / (s * (k + 1) + without.sum())
            result[q, b] = yes / (yes + no)
    return result


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0.5, 1.0]))
def test_multilabel_knn_equals_the_papers_equations(seed: int, k: int, s: float) -> None:
    rng = np.random.default_rng(seed)
    queries, features = rng.normal(size=(6, 4)), rng.normal(size=(25, 4))
    labels = (rng.uniform(size=(25, 3)) < [0.2, 0.5, 0.0]).astype(int)
    found = multilabel_knn(queries, features, labels, k, s).numpy()
    np.testing.assert_allclose(found, ml_knn(queries, features, labels, k, s), rtol=1e-9)


def test_multilabel_knn_leaves_a_patients_own_features_out() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 6))
    features, groups = np.repeat(centres, 2, axis=0) + 1e-3 * rng.normal(size=(40, 6)), np.repeat(range(20), 2)
    labels = np.repeat(rng.integers(2, size=(20, 1)), 2, axis=0)  # known from the other image of the patient alone
    queries = rng.normal(size=(200, 6))
    leaking = multilabel_knn(queries, features, labels, 1)
    apart = multilabel_knn(queries, features, labels, 1, groups=groups)
    assert (leaking - 0.5).abs().mean() > 0.3 > (apart - 0.5).abs().mean()


def test_multilabel_input_that_cannot_work() -> None:
    features = np.eye(3)
    with pytest.raises(InputError, match="0 or 1 of shape \\(3, labels\\)"):
        multilabel_knn(features, features, [0, 1, 1])
    with pytest.raises(InputError, match="0 or 1"):
        multilabel_knn(features, features, [[0], [2], [1]])
    with pytest.raises(ConfigurationError, match="smoothing"):
        multilabel_knn(features, features, [[0], [1], [1]], smoothing=0)
    with pytest.raises(InputError, match="query 0: every feature is of its own group"):
        multilabel_knn(features, features[:1], [[0]])
