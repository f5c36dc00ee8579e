# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import hold_out, patient_folds
from monai_dino.evaluation.splits import strata, validation_part

SEEDS = st.integers(0, 2**16)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(2, 5), st.booleans())
def test_folds_are_by_patient(seed: int, folds: int, several: bool) -> None:
    rng = np.random.default_rng(seed)
    patient = rng.permutation(np.concatenate([np.arange(8), rng.integers(8, size=42)]))
    label = rng.integers(2, size=(50, 3)) if several else rng.integers(3, size=50)
    fold = patient_folds(label, patient, folds, seed)
    assert sorted(set(fold)) == list(range(folds))
    assert all(len(set(fold[patient == p])) == 1 for p in range(8))


def test_folds_hold_each_class_alike() -> None:
    label = np.repeat([0, 1, 2], [50, 30, 20])
    fold = patient_folds(label, np.arange(100), 5)
    assert {tuple(np.bincount(label[fold == k])) for k in range(5)} == {(10, 6, 4)}
    assert (fold == patient_folds(label, np.arange(100), 5)).all()
    assert (fold != patient_folds(label, np.arange(100), 5, seed=1)).any()


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(0.01, 0.99), st.integers(2, 20))
def test_whole_patients_are_held_out(seed: int, share: float, patients: int) -> None:
    rng = np.random.default_rng(seed)
    patient = np.concatenate([np.arange(patients), rng.integers(patients, size=30)])
    label = rng.integers(3, size=len(patient))
    out = hold_out(label, patient, share, seed)
    assert not set(patient[out]) & set(patient[~out])
    several = [c for c in range(3) if len(set(patient[label == c])) > 1]
    assert set(label[out]) >= set(several)
    asked = min(max(round(share * patients), 1), patients - 1)
    assert asked <= len(set(patient[out])) <= max(asked, len(several))


def test_the_same_share_of_each_class_is_held_out() -> None:
    label = np.repeat([0, 1, 2], [40, 20, 8])
    out = hold_out(label, np.arange(68), 0.25)
    assert np.bincount(label[out]).tolist() == [10, 5, 2]


def test_a_rare_class_is_on_both_sides() -> None:
    """However small the share; a class of one patient can be on one side only."""
    label = np.repeat([0, 1, 2, 3], [10, 10, 2, 1])
    for seed in range(5):
        out = hold_out(label, np.arange(23), 0.25, seed)
        assert out.sum() == 6
        assert np.bincount(label[out], minlength=4)[2:].tolist() == [1, 0]
        assert np.bincount(label[hold_out(label, np.arange(23), 0.01, seed)]).tolist() == [1, 1, 1]


def test_several_labels_are_balanced_by_the_rarest() -> None:
    label = np.array([[1, 1], [1, 0], [1, 0], [0, 0]])
    assert strata(label, 4).tolist() == [1, 0, 0, 2]
    assert strata(None, 3).tolist() == [0, 0, 0]


def test_validation_leaves_each_class_a_training_case() -> None:
    label, patient = np.array([0, 0, 0, 0, 1]), np.arange(5)
    for seed in range(5):
        spared = validation_part(label, patient, 0.6, seed)
        assert set(label[~spared]) == {0, 1}
    assert not validation_part(label, patient, 0).any()
    assert not validation_part(label[:1], patient[:1], 0.5).any()


def test_what_cannot_be_split_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="at least 2"):
        patient_folds(np.zeros(4, dtype=int), np.arange(4), 1)
    with pytest.raises(InputError, match="there are 2 patients"):
        patient_folds(np.zeros(4, dtype=int), np.array([0, 0, 1, 1]), 3)
    with pytest.raises(InputError, match="no class has as many"):
        patient_folds(np.arange(4), np.arange(4), 3)
    with pytest.raises(ConfigurationError, match="share=1"):
        hold_out(None, np.arange(4), 1)
    with pytest.raises(InputError, match="1 patients, expected at least 2"):
        hold_out(None, np.zeros(4), 0.5)
