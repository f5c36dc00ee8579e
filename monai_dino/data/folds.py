# SPDX-License-Identifier: Apache-2.0
"""Folds and a test set by patient, stratified and seeded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from monai_dino.errors import DatalistError

__all__ = ["assign_folds"]

_PARTS = 20  # the cases are split into at most so many parts to take the test set from, unless its share is smaller


def assign_folds(
    patients: Sequence[str], strata: Sequence[int], folds: int | None, test_share: float, seed: int
) -> list[int | None]:
    """Assigns cases to folds, keeping the cases of a patient together.

    Args:
        patients: the patient of each case.
        strata: what is to be spread evenly over the folds, such as the class of each case.
        folds: number of folds, at least 2; ``None`` for none.
        test_share: share of the cases that go into the test set, as nearly as their number allows; 0 for none.
        seed: seed of the shuffling.

    Returns:
        For each case its fold, or ``None`` for the test set. Without folds those outside the test set have fold 0.

    Raises:
        DatalistError: when there are too few patients, or too few cases of each class, for that many folds or such a
            test set, or when the share is above 0.5.
    """
    if folds is not None and folds < 2:
        raise DatalistError(f"folds={folds}: expected at least 2")
    if not 0 <= test_share <= 0.5:
        raise DatalistError(f"test_share={test_share}: expected a share from 0 to 0.5")
    groups, y = np.asarray(patients), np.asarray(strata)
    assigned: list[int | None] = [None] * len(groups)
    remaining = np.arange(len(groups))
    if test_share > 0:
        finest = min(max(_PARTS, round(1 / test_share)), len(np.unique(groups)), _largest_class(y))
        share = Fraction(test_share).limit_denominator(finest)
        if share == 0:
            raise DatalistError(f"test_share={test_share}: too few cases for a test set of that share; ask for more")
        parts = _split(groups, y, share.denominator, seed)
        remaining = np.sort(np.concatenate(parts[share.numerator :]))
    if folds is None:
        for index in remaining:
            assigned[int(index)] = 0
        return assigned
    _require_enough(groups[remaining], y[remaining], folds)
    for fold, held_out in enumerate(_split(groups[remaining], y[remaining], folds, seed)):
        for index in held_out:
            assigned[int(remaining[index])] = fold
    return assigned


def _require_enough(groups: np.ndarray, y: np.ndarray, folds: int) -> None:
    patients = len(np.unique(groups))
    if patients < folds:
        raise DatalistError(f"{patients} patients are too few for {folds} folds; ask for fewer, or add patients")
    if _largest_class(y) < folds:
        raise DatalistError(f"no class has the {folds} cases that {folds} folds need; ask for fewer, or add cases")


def _largest_class(y: np.ndarray) -> int:
    return int(np.unique(y, return_counts=True)[1].max())


def _split(groups: np.ndarray, y: np.ndarray, parts: int, seed: int) -> list[np.ndarray]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    return [held_out for _, held_out in splitter.split(y, y, groups)]
