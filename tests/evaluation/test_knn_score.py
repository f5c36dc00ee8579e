# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from monai_dino.errors import InputError
from monai_dino.evaluation import Features, knn_score


def features(vectors: np.ndarray, label: np.ndarray | None, patient: np.ndarray, slices: int = 1) -> Features:
    """Cases whose slices lie around their vectors."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(len(vectors), slices, vectors.shape[1]))
    spread -= spread.mean(axis=1, keepdims=True)
    rows = (vectors[:, None] + spread).reshape(-1, 1, vectors.shape[1]).astype(np.float32)
    case = np.repeat([f"c{k}" for k in range(len(vectors))], slices)
    label = None if label is None else np.repeat(label, slices, axis=0)
    index = np.tile(np.arange(slices), len(vectors))
    return Features(rows, 2 * rows, (0,), case, np.repeat(patient, slices), index, label)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([1, 4]), st.sampled_from(["cls", "patches"]))
def test_equals_scikit_learns_leave_one_group_out(seed: int, k: int, slices: int, pooling: str) -> None:
    rng = np.random.default_rng(seed)
    vectors, label = rng.normal(size=(24, 5)), np.arange(24) % 2
    patient = np.array([f"p{p}" for p in rng.integers(7, size=24)])
    patient[:4] = ["p0", "p0", "p1", "p1"]  # each class has two patients
    peer = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    expected = cross_val_predict(peer, vectors, label, groups=patient, cv=LeaveOneGroupOut())
    found = knn_score(features(vectors, label, patient, slices), k, pooling)
    assert found.accuracy == pytest.approx(accuracy_score(label, expected))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(label, expected))
    np.testing.assert_array_equal(found.scores.argmax(axis=1), expected)
    assert (found.cases, found.patients) == (24, len(set(patient)))


def test_a_patients_own_cases_never_vote() -> None:
    centres = np.random.default_rng(1).normal(size=(30, 16))
    vectors = np.repeat(centres, 2, axis=0) + 1e-3
    label = np.repeat(np.random.default_rng(2).integers(2, size=30), 2)
    known = knn_score(features(vectors, label, np.arange(60)), 1)
    apart = knn_score(features(vectors, label, np.repeat(np.arange(30), 2)), 1)
    assert known.accuracy == 1
    assert apart.accuracy < 0.8


def test_collapsed_features_are_at_chance() -> None:
    label = np.arange(30) % 3
    found = knn_score(features(np.ones((30, 8)), label, np.arange(30)))
    assert found.balanced_accuracy < 0.4


def test_what_could_never_be_told_is_an_error() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(InputError, match="no class numbers"):
        knn_score(features(vectors, None, np.arange(4)))
    with pytest.raises(InputError, match="no class numbers"):
        knn_score(features(vectors, np.eye(4, dtype=int), np.arange(4)))
    with pytest.raises(InputError, match="all cases are class 1; it wants at least two"):
        knn_score(features(vectors, np.ones(4, dtype=int), np.arange(4)))
    with pytest.raises(InputError, match="only one patient has class 1"):
        knn_score(features(vectors, np.array([0, 1, 0, 1]), np.array(list("abcb"))))
