# SPDX-License-Identifier: Apache-2.0
"""Splits of cases by patient: folds, and a part held out."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["hold_out", "patient_folds", "strata", "validation_part"]


def strata(label: np.ndarray | None, count: int) -> np.ndarray:
    """The class of each case that splits are balanced by.

    Args:
        label: class numbers (N,), several labels (N, L), or ``None``.
        count: number of cases.

    Returns:
        The class number; of several labels the rarest that the case has, L where it has none; 0 without labels.
    """
    if label is None:
        return np.zeros(count, dtype=int)
    if label.ndim == 1:
        return np.asarray(label, dtype=int)
    how_often = np.where(label > 0, label.sum(axis=0), np.inf)
    rarest: np.ndarray = np.where(label.any(axis=1), how_often.argmin(axis=1), label.shape[1])
    return rarest


def patient_folds(
    label: np.ndarray | None, patient: Sequence[Hashable] | np.ndarray, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Deals cases out to folds, the patients of a fold in no other, with about as many of each class in each.

    By scikit-learn's ``StratifiedGroupKFold``.

    Args:
        label: class of each case; see :func:`strata`.
        patient: patient of each.
        folds: number of folds.
        seed: seed of the deal.

    Returns:
        The fold of each case, from 0.

    Raises:
        ConfigurationError: for fewer than two folds.
        InputError: for fewer patients than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = _numbers(patient)
    patients = int(groups.max()) + 1 if len(groups) else 0
    if folds < 2:
        raise ConfigurationError(f"folds={folds}: expected at least 2")
    if patients < folds:
        raise InputError(f"folds={folds}: there are {patients} patients; ask for fewer folds")
    classes = strata(label, len(groups))
    if np.bincount(classes).max() < folds:
        raise InputError(f"folds={folds}: no class has as many cases; ask for fewer folds")
    made = np.empty(len(groups), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer cases than folds, which the results state
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(classes, classes, groups)
        for number, (_, rows) in enumerate(dealt):
            made[rows] = number
    return made


def hold_out(
    label: np.ndarray | None, patient: Sequence[Hashable] | np.ndarray, share: float, seed: int = 0
) -> np.ndarray:
    """Chooses patients to hold out, the same share of those of each class, and one at least of each that has two.

    Patients are shuffled within each set of classes that they have cases of, and the sets are merged evenly. The first
    of each class that has two or more is taken, be they more than the share; then the others in order, up to the share.

    Args:
        label: class of each case; see :func:`strata`.
        patient: patient of each.
        share: share of the patients, above 0 and below 1, rounded to at least one.
        seed: seed of the choice.

    Returns:
        Whether each case is held out.

    Raises:
        ConfigurationError: for another share.
        InputError: for fewer than two patients.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"share={share}: expected a number above 0 and below 1")
    groups, classes = _numbers(patient), strata(label, len(patient))
    patients = int(groups.max()) + 1 if len(groups) else 0
    if patients < 2:
        raise InputError(f"there are {patients} patients, expected at least 2, so that one can be held out")
    owned = [tuple(np.unique(classes[groups == p]).tolist()) for p in range(patients)]
    kinds: dict[tuple[int, ...], list[int]] = {}
    for p in np.random.default_rng(seed).permutation(patients).tolist():
        kinds.setdefault(owned[p], []).append(p)
    order = [p for _, p in sorted(((k + 0.5) / len(who), p) for who in kinds.values() for k, p in enumerate(who))]
    of_class = [[p for p in order if c in owned[p]] for c in np.unique(classes).tolist()]
    first = {who[0] for who in of_class if len(who) > 1}
    count = max(min(round(share * patients), patients - 1), len(first), 1)
    return np.isin(groups, sorted(order, key=lambda p: p not in first)[:count])


def validation_part(label: np.ndarray | None, patient: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Chooses training patients to validate on, where there are enough of them.

    Args:
        label: class of each training case; see :func:`strata`.
        patient: patient of each.
        share: share of the patients; 0 for none.
        seed: seed of the choice.

    Returns:
        Whether each case is for validation; none is where a class would have no other training case.
    """
    none = np.zeros(len(patient), dtype=bool)
    if share == 0 or len(np.unique(patient)) < 2:
        return none
    spared, classes = hold_out(label, patient, share, seed), strata(label, len(patient))
    return spared if len(np.unique(classes[~spared])) == len(np.unique(classes)) else none


def _numbers(patient: Sequence[Hashable] | np.ndarray) -> np.ndarray:
    numbers: np.ndarray = np.unique(np.asarray(patient), return_inverse=True)[1]
    return numbers
